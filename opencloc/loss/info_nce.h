// Symmetric InfoNCE over n pairs without their similarity matrix: the forward pass keeps two
// log-sum-exps a pair, the backward pass makes the matrix again, piece by piece.
#pragma once

#include <torch/types.h>

#include "opencloc/loss/loss.h"
#include "opencloc/loss/pair_filter.h"

namespace opencloc {

// The largest similarity scale, exp(logit_scale) (CLIP's cap).
inline constexpr double kMaxLogitScale = 100.0;

struct InfoNceLoss {
  torch::Tensor loss;         // scalar
  int64_t similar_pairs = 0;  // among the local rows, where filter.texts is set
};

// a, b [n, E] L2-normalised, pair i = row i; logit_scale scalar. With s_ij = scale a_i . b_j
//   loss = 1/(2n) sum over local i of (log sum_j exp s_ij - s_ii) + (log sum_j exp s_ji - s_ii),
// the sums over j without the pairs `filter` excludes. n = 0 gives 0. F32 or F64; differentiable
// once, in a, b and logit_scale (whose gradient passes the cap).
InfoNceLoss symmetric_info_nce(const torch::Tensor& a, const torch::Tensor& b,
                               const torch::Tensor& logit_scale, const PairFilter& filter,
                               const ContrastiveOptions& options);

// The rows of `options` over n pairs: [begin, end). Throws Error for rows outside [0, n) or a chunk
// below 1.
struct LocalRows {
  int64_t begin = 0;
  int64_t end = 0;
  bool all(int64_t n) const { return begin == 0 && end == n; }
};
LocalRows local_rows(const ContrastiveOptions& options, int64_t n);

}  // namespace opencloc

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
  torch::Tensor loss;           // scalar
  torch::Tensor similar_pairs;  // scalar F64, among the own rows, where filter.texts is set
};

// a, b [n, E] L2-normalised, pair i = row i, of this process; logit_scale scalar. `filter` is of
// the rows of the group. With s_ij = scale a_i . b_j over the N rows of the group
//   loss = 1/(2N) sum over own i of (log sum_j exp s_ij - s_ii) + (log sum_j exp s_ji - s_ii),
// the sums over j without the pairs `filter` excludes. N = 0 gives 0. F32 or F64; differentiable
// once, in a, b and logit_scale (whose gradient passes the cap). `all_b` [N, E]: b of the whole
// group, where the caller has gathered it; undefined = it is gathered here.
InfoNceLoss symmetric_info_nce(const torch::Tensor& a, const torch::Tensor& b,
                               const torch::Tensor& logit_scale, const PairFilter& filter,
                               const ContrastiveOptions& options, const torch::Tensor& all_b = {});

// exp(x), at most `cap`, as a scalar F64 where x lies: on a device nobody waits for it.
torch::Tensor exp_at_most(const torch::Tensor& x, double cap);

// This process's rows [begin, end) among those of the group.
struct LocalRows {
  int64_t begin = 0;
  int64_t end = 0;
};

}  // namespace opencloc

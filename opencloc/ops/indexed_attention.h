// Attention of many small groups of queries to few large sets of keys, for prompts on images: what
// is read is never copied for a group. One head.
#pragma once

#include <torch/types.h>

namespace opencloc::ops {

// A softmax's result over some of the keys, which further keys can be added to (Rabe and Staats,
// arXiv 2112.05682; Dao et al., FlashAttention).
struct PartialAttention {
  torch::Tensor out;          // [N, P, D]: the values' mean
  torch::Tensor log_sum_exp;  // [N, P] of the scores
};

// Group n, q[n], reads the keys and values of row index[n]. q [N, P, D], keys_values [B, T, 2 D]
// (T >= 1), index [N] int64 in [0, B), in any order, in main memory (elsewhere it is read back,
// which waits); scale D^-1/2. Both results have gradients.
PartialAttention indexed_attention(const torch::Tensor& q, const torch::Tensor& keys_values,
                                   const torch::Tensor& index);

// x [N, P, D] plus the attention over the keys of both: the two softmaxes as one -> [N, P, D].
torch::Tensor add_merged(const torch::Tensor& x, const PartialAttention& a,
                         const PartialAttention& b);

}  // namespace opencloc::ops

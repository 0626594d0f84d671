// Multi-head scaled dot-product attention in F32 that never writes the score matrix: a block of
// query rows is scored, normalised and used while it lies in the cache; the backward pass computes
// the scores again from the kept log-sum-exp. Threaded over batch x heads; the same result for any
// number of threads.
#pragma once

#include <cstdint>

namespace opencloc::kernels {

// Element (b, t, h, i) of q lies at q[b * q_tokens * q_stride + t * q_stride + h * head_width + i];
// k, v likewise with k_tokens and kv_stride, out (dense) with stride heads * head_width. So q, k
// and v may be columns of one [B, T, 3 D] tensor.
struct AttentionShape {
  int64_t batch = 0;
  int64_t heads = 0;
  int64_t q_tokens = 0;
  int64_t k_tokens = 0;
  int64_t head_width = 0;
  int64_t q_stride = 0;   // elements between tokens of q (and of dq)
  int64_t kv_stride = 0;  // of k and v (and of dk, dv)
  bool causal = false;    // query t sees keys 0..t; needs q_tokens == k_tokens
  int64_t q_rows = 0;     // ragged forward: > 0 = query r is row r % q_rows of q, and `first` are
                          // multiples of it

  int64_t out_stride() const { return heads * head_width; }
};

enum class AttentionProducts { kFp32, kBf16 };  // kBf16: operands rounded, sums in F32

// log_sum_exp [batch, heads, q_tokens], kept for the backward pass. k_tokens >= 1 unless there are
// no queries.
void attention_forward(AttentionProducts products, const AttentionShape& shape, const float* q,
                       const float* k, const float* v, float* out, float* log_sum_exp);
// The gradients of out and, where something was made of it, of log_sum_exp (null: none).
struct AttentionGradient {
  const float* out = nullptr;
  const float* log_sum_exp = nullptr;
};
// dq, dk, dv have the layouts of q, k, v and are overwritten.
void attention_backward(AttentionProducts products, const AttentionShape& shape, const float* q,
                        const float* k, const float* v, const float* out, const float* log_sum_exp,
                        const AttentionGradient& gradient, float* dq, float* dk, float* dv);

// The same where batch row b has its own number of queries: rows [first[b], first[b + 1]) of q and
// out. One head; shape.q_tokens is not read, log_sum_exp [first[batch]].
void ragged_attention_forward(AttentionProducts products, const AttentionShape& shape,
                              const int64_t* first, const float* q, const float* k, const float* v,
                              float* out, float* log_sum_exp);
void ragged_attention_backward(AttentionProducts products, const AttentionShape& shape,
                               const int64_t* first, const float* q, const float* k, const float* v,
                               const float* out, const float* log_sum_exp,
                               const AttentionGradient& gradient, float* dq, float* dk, float* dv);

}  // namespace opencloc::kernels

#include "opencloc/kernels/attention.h"

#include "opencloc/kernels/aligned_buffer.h"
#include "opencloc/kernels/kernel_table.h"
#include "opencloc/kernels/parallel.h"

namespace opencloc::kernels {
namespace {

// Where the pair's data starts.
struct Pair {
  int64_t q, kv, out, log_sum_exp;
};
Pair pair_at(const AttentionShape& s, int64_t index) {
  const int64_t b = index / s.heads, column = index % s.heads * s.head_width;
  return {b * s.q_tokens * s.q_stride + column, b * s.k_tokens * s.kv_stride + column,
          b * s.q_tokens * s.out_stride() + column, index * s.q_tokens};
}

// body(pair, scratch) for every (batch, head) pair.
template <class Body>
void for_pairs(const AttentionShape& shape, int64_t scratch_floats, const Body& body) {
  const KernelTable& table = kernel_table();
  parallel_items(shape.batch * shape.heads, [&](int64_t i) {
    thread_local AlignedBuffer<float> scratch;  // kept between calls
    table.begin_blocks();
    body(pair_at(shape, i), scratch.ensure(scratch_floats));
    table.end_blocks();
  });
}

}  // namespace

void attention_forward(AttentionProducts products, const AttentionShape& shape, const float* q,
                       const float* k, const float* v, float* out, float* log_sum_exp) {
  const KernelTable& table = kernel_table();
  const bool half = products == AttentionProducts::kBf16;
  const auto forward = half ? table.attention_forward_bf16 : table.attention_forward;
  const auto floats = half ? table.attention_scratch_bf16 : table.attention_scratch;
  for_pairs(shape, floats(shape), [&](const Pair& at, float* scratch) {
    forward(shape, q + at.q, k + at.kv, v + at.kv, out + at.out, log_sum_exp + at.log_sum_exp,
            scratch);
  });
}

void attention_backward(AttentionProducts products, const AttentionShape& shape, const float* q,
                        const float* k, const float* v, const float* out, const float* log_sum_exp,
                        const float* dout, float* dq, float* dk, float* dv) {
  const KernelTable& table = kernel_table();
  const bool half = products == AttentionProducts::kBf16;
  const auto backward = half ? table.attention_backward_bf16 : table.attention_backward;
  const auto floats = half ? table.attention_scratch_bf16 : table.attention_scratch;
  for_pairs(shape, floats(shape), [&](const Pair& at, float* scratch) {
    backward(shape, q + at.q, k + at.kv, v + at.kv, out + at.out, log_sum_exp + at.log_sum_exp,
             dout + at.out, dq + at.q, dk + at.kv, dv + at.kv, scratch);
  });
}

}  // namespace opencloc::kernels

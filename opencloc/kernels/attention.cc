#include "opencloc/kernels/attention.h"

#include <vector>

#include "opencloc/kernels/kernel_table.h"
#include "opencloc/kernels/parallel.h"

namespace opencloc::kernels {
namespace {

// Kept between calls; one a thread.
float* thread_scratch(int64_t floats) {
  thread_local std::vector<float> scratch;
  if (static_cast<int64_t>(scratch.size()) < floats) scratch.resize(static_cast<size_t>(floats));
  return scratch.data();
}

// Where the pair's data starts.
struct Pair {
  int64_t q, kv, out, log_sum_exp;
};
Pair pair_at(const AttentionShape& s, int64_t index) {
  const int64_t b = index / s.heads, column = index % s.heads * s.head_width;
  return {b * s.q_tokens * s.q_stride + column, b * s.k_tokens * s.kv_stride + column,
          b * s.q_tokens * s.out_stride() + column, index * s.q_tokens};
}

}  // namespace

void attention_forward(const AttentionShape& shape, const float* q, const float* k, const float* v,
                       float* out, float* log_sum_exp) {
  const KernelTable& table = kernel_table();
  const int64_t floats = table.attention_scratch(shape);
  parallel_items(shape.batch * shape.heads, [&](int64_t i) {
    const Pair at = pair_at(shape, i);
    table.attention_forward(shape, q + at.q, k + at.kv, v + at.kv, out + at.out,
                            log_sum_exp + at.log_sum_exp, thread_scratch(floats));
  });
}

void attention_backward(const AttentionShape& shape, const float* q, const float* k, const float* v,
                        const float* out, const float* log_sum_exp, const float* dout, float* dq,
                        float* dk, float* dv) {
  const KernelTable& table = kernel_table();
  const int64_t floats = table.attention_scratch(shape);
  parallel_items(shape.batch * shape.heads, [&](int64_t i) {
    const Pair at = pair_at(shape, i);
    table.attention_backward(shape, q + at.q, k + at.kv, v + at.kv, out + at.out,
                             log_sum_exp + at.log_sum_exp, dout + at.out, dq + at.q, dk + at.kv,
                             dv + at.kv, thread_scratch(floats));
  });
}

}  // namespace opencloc::kernels

#include "opencloc/kernels/attention/attention.h"

#include <algorithm>
#include <vector>

#include "opencloc/kernels/aligned_buffer.h"
#include "opencloc/kernels/gemm/row_panels.h"
#include "opencloc/kernels/isa/kernel_table.h"

namespace opencloc::kernels {
namespace {

// One call of a kernel: its shape, and where its data starts.
struct Item {
  AttentionShape shape;
  int64_t q, kv, out, log_sum_exp;
};

// The (batch, head) pair of that number.
Item pair_at(const AttentionShape& s, int64_t index) {
  const int64_t b = index / s.heads, column = index % s.heads * s.head_width;
  return {s, b * s.q_tokens * s.q_stride + column, b * s.k_tokens * s.kv_stride + column,
          b * s.q_tokens * s.out_stride() + column, index * s.q_tokens};
}

// Queries [begin, end) on the keys of batch row b.
Item rows_at(AttentionShape shape, int64_t b, int64_t begin, int64_t end) {
  shape.q_tokens = end - begin;
  const int64_t row = shape.q_rows > 0 ? begin % shape.q_rows : begin;
  return {shape, row * shape.q_stride, b * shape.k_tokens * shape.kv_stride,
          begin * shape.out_stride(), begin};
}

// The queries of every batch row in pieces of at most `rows`; a batch row without queries is one
// empty piece, since its gradients are to be zero.
std::vector<Item> ragged_items(const AttentionShape& shape, const int64_t* first, int64_t rows) {
  std::vector<Item> items;
  for (int64_t b = 0; b < shape.batch; ++b) {
    int64_t begin = first[b];
    do {
      int64_t end = std::min(first[b + 1], begin + rows);
      if (shape.q_rows > 0) end = std::min(end, (begin / shape.q_rows + 1) * shape.q_rows);
      items.push_back(rows_at(shape, b, begin, end));
      begin = end;
    } while (begin < first[b + 1]);
  }
  return items;
}

using ScratchFloats = int64_t (*)(const AttentionShape& shape);

// body(item, scratch) for item_at(0 .. count - 1).
template <class ItemAt, class Body>
void for_items(int64_t count, ScratchFloats floats, const ItemAt& item_at, const Body& body) {
  const KernelTable& table = kernel_table();
  parallel_items(count, [&](int64_t i) {
    thread_local AlignedBuffer<float> scratch;  // kept between calls
    const Item& item = item_at(i);
    float* const room = scratch.ensure(floats(item.shape));
    table.begin_blocks();
    body(item, room);
    table.end_blocks();
  });
}

struct Operands {
  const float *q, *k, *v;
};

auto forward_of(AttentionProducts products, const Operands& x, float* out, float* log_sum_exp) {
  const KernelTable& table = kernel_table();
  const auto forward =
      products == AttentionProducts::kBf16 ? table.attention_forward_bf16 : table.attention_forward;
  return [=](const Item& at, float* scratch) {
    if (at.shape.q_tokens == 0) return;
    forward(at.shape, x.q + at.q, x.k + at.kv, x.v + at.kv, out + at.out,
            log_sum_exp + at.log_sum_exp, scratch);
  };
}

struct Results {
  const float *out, *log_sum_exp;
};
struct Gradients {
  float *q, *k, *v;
};

auto backward_of(AttentionProducts products, const Operands& x, const Results& y,
                 const AttentionGradient& gradient, const Gradients& d) {
  const KernelTable& table = kernel_table();
  const auto backward = products == AttentionProducts::kBf16 ? table.attention_backward_bf16
                                                             : table.attention_backward;
  return [=](const Item& at, float* scratch) {
    const float* of_sum = gradient.log_sum_exp;
    const AttentionGradient here{gradient.out + at.out,
                                 of_sum == nullptr ? nullptr : of_sum + at.log_sum_exp};
    backward(at.shape, x.q + at.q, x.k + at.kv, x.v + at.kv, y.out + at.out,
             y.log_sum_exp + at.log_sum_exp, here, d.q + at.q, d.k + at.kv, d.v + at.kv, scratch);
  };
}

ScratchFloats scratch_of(AttentionProducts products) {
  const KernelTable& table = kernel_table();
  return products == AttentionProducts::kBf16 ? table.attention_scratch_bf16
                                              : table.attention_scratch;
}

}  // namespace

void attention_forward(AttentionProducts products, const AttentionShape& shape, const float* q,
                       const float* k, const float* v, float* out, float* log_sum_exp) {
  for_items(
      shape.batch * shape.heads, scratch_of(products), [&](int64_t i) { return pair_at(shape, i); },
      forward_of(products, {q, k, v}, out, log_sum_exp));
}

void attention_backward(AttentionProducts products, const AttentionShape& shape, const float* q,
                        const float* k, const float* v, const float* out, const float* log_sum_exp,
                        const AttentionGradient& gradient, float* dq, float* dk, float* dv) {
  for_items(
      shape.batch * shape.heads, scratch_of(products), [&](int64_t i) { return pair_at(shape, i); },
      backward_of(products, {q, k, v}, {out, log_sum_exp}, gradient, {dq, dk, dv}));
}

void ragged_attention_forward(AttentionProducts products, const AttentionShape& shape,
                              const int64_t* first, const float* q, const float* k, const float* v,
                              float* out, float* log_sum_exp) {
  // Keys and values are packed anew for every piece, so pieces are not small unless threads would
  // be idle. What a query gets does not depend on its piece.
  const bool few = shape.batch < 2 * thread_count();
  const auto items = ragged_items(shape, first, few ? panel_rows(first[shape.batch]) : kPanelRows);
  for_items(
      static_cast<int64_t>(items.size()), scratch_of(products),
      [&](int64_t i) { return items[static_cast<size_t>(i)]; },
      forward_of(products, {q, k, v}, out, log_sum_exp));
}

void ragged_attention_backward(AttentionProducts products, const AttentionShape& shape,
                               const int64_t* first, const float* q, const float* k, const float* v,
                               const float* out, const float* log_sum_exp,
                               const AttentionGradient& gradient, float* dq, float* dk, float* dv) {
  // In one piece: the gradients of a batch row's keys are sums over all its queries.
  const auto items = ragged_items(shape, first, std::max<int64_t>(1, first[shape.batch]));
  for_items(
      static_cast<int64_t>(items.size()), scratch_of(products),
      [&](int64_t i) { return items[static_cast<size_t>(i)]; },
      backward_of(products, {q, k, v}, {out, log_sum_exp}, gradient, {dq, dk, dv}));
}

}  // namespace opencloc::kernels

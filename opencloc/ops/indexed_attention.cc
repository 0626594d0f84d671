#include "opencloc/ops/indexed_attention.h"

#include <algorithm>

#include <torch/autograd.h>

#include "opencloc/kernels/attention/attention.h"
#include "opencloc/kernels/pointwise/merge.h"
#include "opencloc/ops/attention_products.h"
#include "opencloc/ops/dispatch.h"
#include "opencloc/ops/on_torch.h"

namespace opencloc::ops {
namespace {

using kernels::AttentionShape;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Rows [first[b], first[b + 1]) of the queries belong to row b of the keys. index [N], ascending.
std::vector<int64_t> first_queries(const torch::Tensor& index, int64_t batch, int64_t group) {
  std::vector<int64_t> first(static_cast<size_t>(batch) + 1, 0);
  const auto* row = index.data_ptr<int64_t>();
  for (int64_t n = 0; n < index.numel(); ++n) first[static_cast<size_t>(row[n]) + 1] += group;
  for (size_t b = 1; b < first.size(); ++b) first[b] += first[b - 1];
  return first;
}

AttentionShape ragged_shape(const torch::Tensor& q, const torch::Tensor& keys_values) {
  const int64_t width = q.size(2);
  return {.batch = keys_values.size(0),
          .heads = 1,
          .k_tokens = keys_values.size(1),
          .head_width = width,
          .q_stride = width,
          .kv_stride = 2 * width};
}

// t [N, P, ...] without a copy where all N are the same (an expanded tensor), else contiguous.
torch::Tensor stored_rows(const torch::Tensor& t) {
  return t.size(0) > 0 && t.stride(0) == 0 ? t[0].contiguous() : t.contiguous();
}

struct IndexedAttentionFunction : torch::autograd::Function<IndexedAttentionFunction> {
  static variable_list forward(AutogradContext* ctx, const torch::Tensor& q_input,
                               const torch::Tensor& keys_values_input, const torch::Tensor& index) {
    const auto q = stored_rows(q_input), keys_values = keys_values_input.contiguous();
    const int64_t groups = q_input.size(0), group = q_input.size(1);
    auto shape = ragged_shape(q_input, keys_values);
    if (q.dim() == 2) shape.q_rows = group;
    const auto first = first_queries(index, shape.batch, group);
    auto out = torch::empty({groups, group, shape.head_width}, q.options());  // [N, P, D]
    auto log_sum_exp = torch::empty({groups, group}, out.options());          // [N, P]
    const float* k = keys_values.data_ptr<float>();
    kernels::ragged_attention_forward(products_now(), shape, first.data(), q.data_ptr<float>(), k,
                                      k + shape.head_width, out.data_ptr<float>(),
                                      log_sum_exp.data_ptr<float>());
    ctx->save_for_backward({q, keys_values, index, out, log_sum_exp});
    save_products(ctx);
    return {out, log_sum_exp};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const auto &keys_values = saved[1], &index = saved[2];
    const auto dout = grads[0].contiguous(), dlse = grads[1].contiguous();
    const auto q = saved[0].expand_as(dout).contiguous();  // [N, P, D]
    const auto shape = ragged_shape(q, keys_values);
    const auto first = first_queries(index, shape.batch, q.size(1));
    auto dq = torch::empty_like(q), dkv = torch::empty_like(keys_values);
    const float* k = keys_values.data_ptr<float>();
    float* dk = dkv.data_ptr<float>();
    kernels::ragged_attention_backward(
        saved_products(ctx), shape, first.data(), q.data_ptr<float>(), k, k + shape.head_width,
        saved[3].data_ptr<float>(), saved[4].data_ptr<float>(),
        {.out = dout.data_ptr<float>(), .log_sum_exp = dlse.data_ptr<float>()},
        dq.data_ptr<float>(), dk, dk + shape.head_width);
    return {dq, dkv, torch::Tensor()};
  }
};

bool ascending(const torch::Tensor& index) {
  const auto* row = index.data_ptr<int64_t>();
  return std::is_sorted(row, row + index.numel());
}

kernels::RepeatedRows rows_of(const torch::Tensor& stored, int64_t width) {
  return {.data = stored.data_ptr<float>(), .rows = stored.numel() / std::max<int64_t>(1, width)};
}

struct AddMergedFunction : torch::autograd::Function<AddMergedFunction> {
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& x,
                               const torch::Tensor& a_out, const torch::Tensor& a_log_sum_exp,
                               const torch::Tensor& b_out, const torch::Tensor& b_log_sum_exp) {
    const variable_list stored{stored_rows(a_out), stored_rows(a_log_sum_exp), stored_rows(b_out),
                               stored_rows(b_log_sum_exp)};
    const auto all_x = stored_rows(x);
    auto y = torch::empty(x.sizes(), x.options());  // [N, P, D]
    const int64_t width = x.size(2);
    if (y.numel() > 0) {
      kernels::merge_forward(row_count(x), width, rows_of(all_x, width),
                             part_of(stored[0], stored[1], width),
                             part_of(stored[2], stored[3], width), y.data_ptr<float>());
    }
    ctx->save_for_backward(stored);
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto stored = ctx->get_saved_variables();
    const auto dy = grads[0].contiguous();  // [N, P, D]
    const int64_t width = dy.size(2);
    auto da = torch::empty_like(dy), db = torch::empty_like(dy);
    auto da_log_sum_exp = torch::empty({dy.size(0), dy.size(1)}, dy.options());  // [N, P]
    if (dy.numel() > 0) {
      kernels::merge_backward(row_count(dy), width, part_of(stored[0], stored[1], width),
                              part_of(stored[2], stored[3], width), dy.data_ptr<float>(),
                              da.data_ptr<float>(), db.data_ptr<float>(),
                              da_log_sum_exp.data_ptr<float>());
    }
    return {dy, da, da_log_sum_exp, db, -da_log_sum_exp};
  }

 private:
  static kernels::PartialRows part_of(const torch::Tensor& out, const torch::Tensor& log_sum_exp,
                                      int64_t width) {
    return {.out = rows_of(out, width), .log_sum_exp = rows_of(log_sum_exp, 1)};
  }
};

}  // namespace

PartialAttention indexed_attention(const torch::Tensor& q, const torch::Tensor& keys_values,
                                   const torch::Tensor& index_input) {
  TORCH_CHECK(q.dim() == 3 && keys_values.dim() == 3 && keys_values.size(2) == 2 * q.size(2) &&
                  index_input.dim() == 1 && index_input.size(0) == q.size(0) &&
                  (keys_values.size(1) > 0 || q.numel() == 0),
              "indexed_attention: q ", q.sizes(), ", keys and values ", keys_values.sizes(),
              ", index ", index_input.sizes(), " do not fit together");
  if (!runs_on_kernels({q, keys_values}))
    return on_torch::indexed_attention(q, keys_values, index_input);
  const auto index = index_input.contiguous();
  if (q.size(0) > 0) {
    TORCH_CHECK(
        index.min().item<int64_t>() >= 0 && index.max().item<int64_t>() < keys_values.size(0),
        "indexed_attention: index outside the ", keys_values.size(0), " rows of keys");
  }
  if (!ascending(index)) {
    const auto order = std::get<1>(torch::sort(index, /*stable=*/true, 0, false));  // [N]
    const auto back = torch::argsort(order);                                        // [N]
    const auto sorted =
        indexed_attention(q.index_select(0, order), keys_values, index.index_select(0, order));
    return {sorted.out.index_select(0, back), sorted.log_sum_exp.index_select(0, back)};
  }
  const auto result = IndexedAttentionFunction::apply(q, keys_values, index);
  return {result[0], result[1]};
}

torch::Tensor add_merged(const torch::Tensor& x, const PartialAttention& a,
                         const PartialAttention& b) {
  if (!runs_on_kernels({x, a.out, a.log_sum_exp, b.out, b.log_sum_exp})) {
    return on_torch::add_merged(x, a, b);
  }
  return AddMergedFunction::apply(x, a.out, a.log_sum_exp, b.out, b.log_sum_exp);
}

}  // namespace opencloc::ops

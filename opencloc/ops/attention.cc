#include "opencloc/kernels/attention/attention.h"

#include <torch/autograd.h>

#include "opencloc/ops/attention_products.h"
#include "opencloc/ops/dispatch.h"
#include "opencloc/ops/on_torch.h"
#include "opencloc/ops/ops.h"

namespace opencloc::ops {
namespace {

using kernels::AttentionProducts;
using kernels::AttentionShape;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

AttentionShape self_shape(const torch::Tensor& qkv, int64_t heads, bool causal) {
  const int64_t width = qkv.size(2) / 3;
  return {.batch = qkv.size(0),
          .heads = heads,
          .q_tokens = qkv.size(1),
          .k_tokens = qkv.size(1),
          .head_width = width / heads,
          .q_stride = 3 * width,
          .kv_stride = 3 * width,
          .causal = causal};
}

AttentionShape cross_shape(const torch::Tensor& q, const torch::Tensor& k, int64_t heads) {
  const int64_t width = q.size(2);
  return {.batch = q.size(0),
          .heads = heads,
          .q_tokens = q.size(1),
          .k_tokens = k.size(1),
          .head_width = width / heads,
          .q_stride = width,
          .kv_stride = width};
}

// out [B, Tq, D] and the log-sum-exp [B, heads, Tq] of its scores.
struct Attended {
  torch::Tensor out, log_sum_exp;
};
Attended attend(AttentionProducts products, const AttentionShape& shape,
                const torch::TensorOptions& options, const float* q, const float* k,
                const float* v) {
  Attended result{torch::empty({shape.batch, shape.q_tokens, shape.out_stride()}, options),
                  torch::empty({shape.batch, shape.heads, shape.q_tokens}, options)};
  kernels::attention_forward(products, shape, q, k, v, result.out.data_ptr<float>(),
                             result.log_sum_exp.data_ptr<float>());
  return result;
}

struct SelfAttentionFunction : torch::autograd::Function<SelfAttentionFunction> {
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& input, int64_t heads,
                               bool causal) {
    const auto qkv = input.contiguous();
    const auto shape = self_shape(qkv, heads, causal);
    const int64_t width = shape.out_stride();
    const float* q = qkv.data_ptr<float>();
    const auto result = attend(products_now(), shape, qkv.options(), q, q + width, q + 2 * width);
    ctx->save_for_backward({qkv, result.out, result.log_sum_exp});
    ctx->saved_data["heads"] = heads;
    save_products(ctx);
    ctx->saved_data["causal"] = causal;
    return result.out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const auto &qkv = saved[0], &out = saved[1], &log_sum_exp = saved[2];
    const auto shape =
        self_shape(qkv, ctx->saved_data["heads"].toInt(), ctx->saved_data["causal"].toBool());
    const int64_t width = shape.out_stride();
    const auto dout = grads[0].contiguous();
    auto dqkv = torch::empty_like(qkv);
    const float* q = qkv.data_ptr<float>();
    float* dq = dqkv.data_ptr<float>();
    kernels::attention_backward(saved_products(ctx), shape, q, q + width, q + 2 * width,
                                out.data_ptr<float>(), log_sum_exp.data_ptr<float>(),
                                {.out = dout.data_ptr<float>()}, dq, dq + width, dq + 2 * width);
    return {dqkv, torch::Tensor(), torch::Tensor()};
  }
};

struct CrossAttentionFunction : torch::autograd::Function<CrossAttentionFunction> {
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& q_input,
                               const torch::Tensor& k_input, const torch::Tensor& v_input,
                               int64_t heads) {
    const auto q = q_input.contiguous(), k = k_input.contiguous(), v = v_input.contiguous();
    const auto result = attend(products_now(), cross_shape(q, k, heads), q.options(),
                               q.data_ptr<float>(), k.data_ptr<float>(), v.data_ptr<float>());
    ctx->save_for_backward({q, k, v, result.out, result.log_sum_exp});
    ctx->saved_data["heads"] = heads;
    save_products(ctx);
    return result.out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const auto &q = saved[0], &k = saved[1], &v = saved[2], &out = saved[3];
    const auto dout = grads[0].contiguous();
    auto dq = torch::empty_like(q), dk = torch::empty_like(k), dv = torch::empty_like(v);
    kernels::attention_backward(
        saved_products(ctx), cross_shape(q, k, ctx->saved_data["heads"].toInt()),
        q.data_ptr<float>(), k.data_ptr<float>(), v.data_ptr<float>(), out.data_ptr<float>(),
        saved[4].data_ptr<float>(), {.out = dout.data_ptr<float>()}, dq.data_ptr<float>(),
        dk.data_ptr<float>(), dv.data_ptr<float>());
    return {dq, dk, dv, torch::Tensor()};
  }
};

}  // namespace

torch::Tensor self_attention(const torch::Tensor& qkv, int64_t heads, Mask mask) {
  if (!runs_on_kernels({qkv})) return on_torch::self_attention(qkv, heads, mask);
  TORCH_CHECK(qkv.dim() == 3 && heads > 0 && qkv.size(2) % (3 * heads) == 0, "self_attention: qkv ",
              qkv.sizes(), " does not split into ", heads, " heads");
  return SelfAttentionFunction::apply(qkv, heads, mask == Mask::kCausal);
}

torch::Tensor cross_attention(const torch::Tensor& q, const torch::Tensor& k,
                              const torch::Tensor& v, int64_t heads) {
  if (!runs_on_kernels({q, k, v})) return on_torch::cross_attention(q, k, v, heads);
  TORCH_CHECK(q.dim() == 3 && heads > 0 && q.size(2) % heads == 0 && k.sizes() == v.sizes() &&
                  k.dim() == 3 && k.size(0) == q.size(0) && k.size(2) == q.size(2) &&
                  (k.size(1) > 0 || q.numel() == 0),
              "cross_attention: q ", q.sizes(), ", k ", k.sizes(), ", v ", v.sizes(), ", ", heads,
              " heads do not fit together");
  return CrossAttentionFunction::apply(q, k, v, heads);
}

}  // namespace opencloc::ops

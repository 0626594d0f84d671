#include <torch/autograd.h>

#include "opencloc/kernels/gemm/mlp_bf16.h"
#include "opencloc/kernels/pointwise/gelu.h"
#include "opencloc/ops/dispatch.h"
#include "opencloc/ops/on_torch.h"
#include "opencloc/ops/ops.h"
#include "opencloc/ops/packed_weights.h"
#include "opencloc/ops/precision.h"
#include "opencloc/ops/products.h"
#include "opencloc/ops/quantized.h"

namespace opencloc::ops {
namespace {

using kernels::PackedWeight;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// F32. Keeps the hidden layer before the GELU; after it, it is cheaper to compute again than to
// keep.
struct MlpFunction : torch::autograd::Function<MlpFunction> {
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& input,
                               const torch::Tensor& fc_weight_input, const torch::Tensor& fc_bias,
                               const torch::Tensor& proj_weight_input,
                               const torch::Tensor& proj_bias, int64_t kind) {
    const auto x = input.contiguous();
    const auto fc_weight = fc_weight_input.contiguous();
    const auto proj_weight = proj_weight_input.contiguous();
    const int64_t rows = row_count(x), hidden = fc_weight.size(0);
    auto z = torch::empty(with_last(x, hidden), x.options());  // [..., F]
    auto h = torch::empty_like(z);                             // [..., F]
    product_forward(Precision::kFp32, x, fc_weight, {}, z);
    kernels::bias_gelu_forward(static_cast<kernels::Gelu>(kind), rows, hidden,
                               fc_bias.contiguous().data_ptr<float>(), z.data_ptr<float>(),
                               h.data_ptr<float>());
    auto y = torch::empty(with_last(x, proj_weight.size(0)), x.options());
    product_forward(Precision::kFp32, h, proj_weight, proj_bias.contiguous(), y);
    ctx->save_for_backward({x, fc_weight, proj_weight, z});
    ctx->saved_data["kind"] = kind;
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &fc_weight = saved[1], &proj_weight = saved[2], &z = saved[3];
    const auto kind = static_cast<kernels::Gelu>(ctx->saved_data["kind"].toInt());
    const auto dy = grads[0].contiguous();
    auto h = torch::empty_like(z);
    kernels::gelu_forward(kind, z.numel(), z.data_ptr<float>(), h.data_ptr<float>());
    const auto proj = product_dw(Precision::kFp32, dy, h);
    auto& dz = h;  // h is not needed any more
    product_dx(Precision::kFp32, dy, proj_weight, dz);
    kernels::gelu_backward(kind, z.numel(), z.data_ptr<float>(), dz.data_ptr<float>(),
                           dz.data_ptr<float>());
    const auto fc = product_dw(Precision::kFp32, dz, x);
    torch::Tensor dx;
    if (ctx->needs_input_grad(0)) {
      dx = torch::empty_like(x);
      product_dx(Precision::kFp32, dz, fc_weight, dx);
    }
    return {dx, fc.weight, fc.bias, proj.weight, proj.bias, torch::Tensor()};
  }
};

// Keeps the hidden layer before the GELU as bf16, rounded where the product ends.
struct MlpBf16Function : torch::autograd::Function<MlpBf16Function> {
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& input,
                               const torch::Tensor& fc_weight_input, const torch::Tensor& fc_bias,
                               const torch::Tensor& proj_weight_input,
                               const torch::Tensor& proj_bias, int64_t kind, bool train) {
    const auto x = input.contiguous();
    const auto fc_weight = fc_weight_input.contiguous();
    const auto proj_weight = proj_weight_input.contiguous();
    const auto fc_bias_dense = fc_bias.contiguous(), proj_bias_dense = proj_bias.contiguous();
    const int64_t hidden = fc_weight.size(0), out = proj_weight.size(0);
    const auto use = train ? WeightUse::kOnce : WeightUse::kAgain;
    const auto fc = packed_bf16(fc_weight, use), proj = packed_bf16(proj_weight, use);
    torch::Tensor z;  // [..., F]
    if (train) z = torch::empty(with_last(x, hidden), x.options().dtype(torch::kBFloat16));
    auto y = torch::empty(with_last(x, out), x.options());
    kernels::mlp_forward_bf16({.gelu = static_cast<kernels::Gelu>(kind),
                               .fc = fc.get(),
                               .proj = proj.get(),
                               .fc_bias = fc_bias_dense.data_ptr<float>(),
                               .proj_bias = proj_bias_dense.data_ptr<float>()},
                              row_count(x), x.data_ptr<float>(), bf16_data(z), y.data_ptr<float>());
    ctx->save_for_backward({x, fc_weight, proj_weight, z});
    ctx->saved_data["kind"] = kind;
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &fc_weight = saved[1], &proj_weight = saved[2], &z = saved[3];
    const auto dy = grads[0].contiguous();
    const int64_t width = x.size(-1), hidden = fc_weight.size(0), out = proj_weight.size(0);
    const auto fc = PackedWeight::for_backward(fc_weight.data_ptr<float>(), hidden, width);
    const auto proj = PackedWeight::for_backward(proj_weight.data_ptr<float>(), out, hidden);
    auto dz = torch::empty_like(z), h = torch::empty_like(z);
    torch::Tensor dx;
    if (ctx->needs_input_grad(0)) dx = torch::empty_like(x);
    kernels::mlp_backward_bf16({.gelu = static_cast<kernels::Gelu>(ctx->saved_data["kind"].toInt()),
                                .fc = &fc,
                                .proj = &proj},
                               row_count(x), dy.data_ptr<float>(), bf16_data(z), bf16_data(dz),
                               bf16_data(h), dx.defined() ? dx.data_ptr<float>() : nullptr);
    const auto fc_gradient = product_dw(Precision::kBf16, dz, x),
               proj_gradient = product_dw(Precision::kBf16, dy, h);
    return {dx,
            fc_gradient.weight,
            fc_gradient.bias,
            proj_gradient.weight,
            proj_gradient.bias,
            torch::Tensor(),
            torch::Tensor()};
  }
};

// F32 where no gradient is wanted.
torch::Tensor mlp_forward(const torch::Tensor& input, const MlpWeights& w) {
  const auto x = input.contiguous();
  const auto fc_bias = w.fc_bias.contiguous(), proj_bias = w.proj_bias.contiguous();
  const auto fc = packed_fp32(w.fc_weight), proj = packed_fp32(w.proj_weight);
  auto y = torch::empty(with_last(x, proj->columns()), x.options());
  kernels::mlp_fp32({.gelu = kernel_kind(w.gelu),
                     .fc = fc.get(),
                     .proj = proj.get(),
                     .fc_bias = fc_bias.data_ptr<float>(),
                     .proj_bias = proj_bias.data_ptr<float>()},
                    x.data_ptr<float>(), row_count(x), y.data_ptr<float>());
  return y;
}

}  // namespace

torch::Tensor mlp(const torch::Tensor& x, const MlpWeights& w) {
  if (w.fc_weight.is_quantized() || w.proj_weight.is_quantized()) return quantized_mlp(x, w);
  if (!runs_on_kernels({x, w.fc_weight, w.fc_bias, w.proj_weight, w.proj_bias})) {
    return on_torch::mlp(x, w);
  }
  TORCH_CHECK(x.dim() >= 1 && x.size(-1) == w.fc_weight.size(1) &&
                  w.proj_weight.size(1) == w.fc_weight.size(0),
              "mlp: x ", x.sizes(), " does not fit weights ", w.fc_weight.sizes(), ", ",
              w.proj_weight.sizes());
  const bool train = gradients_wanted({x, w.fc_weight, w.fc_bias, w.proj_weight, w.proj_bias});
  if (matmul_precision() == Precision::kBf16) {
    return MlpBf16Function::apply(x, w.fc_weight, w.fc_bias, w.proj_weight, w.proj_bias,
                                  static_cast<int64_t>(kernel_kind(w.gelu)), train);
  }
  if (!train) return mlp_forward(x, w);
  return MlpFunction::apply(x, w.fc_weight, w.fc_bias, w.proj_weight, w.proj_bias,
                            static_cast<int64_t>(kernel_kind(w.gelu)));
}

}  // namespace opencloc::ops

#include <torch/autograd.h>

#include "opencloc/ops/dispatch.h"
#include "opencloc/ops/on_torch.h"
#include "opencloc/ops/ops.h"
#include "opencloc/ops/products.h"
#include "opencloc/ops/quantized.h"
#include "opencloc/ops/torch_compat.h"

namespace opencloc::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct LinearFunction : torch::autograd::Function<LinearFunction> {
  // An optional, because autograd takes no undefined tensor for an input.
  // `kept`: the weight is read again as it is (packed_weights.h).
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& input,
                               const torch::Tensor& weight_input, const OptionalTensor& bias_input,
                               bool kept) {
    const auto x = input.contiguous();
    const auto weight = kept ? weight_input : weight_input.contiguous();
    const auto bias = bias_input ? bias_input->contiguous() : torch::Tensor();
    auto y = torch::empty(with_last(x, weight.size(0)), x.options());
    const Precision precision = matmul_precision();
    product_forward(precision, x, weight, bias, y, kept ? WeightUse::kAgain : WeightUse::kOnce);
    ctx->save_for_backward({x, weight});
    ctx->saved_data["has_bias"] = bias.defined();
    ctx->saved_data["precision"] = static_cast<int64_t>(precision);
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const auto x = saved[0], weight = saved[1].contiguous();
    const auto dy = grads[0].contiguous();
    const auto precision = static_cast<Precision>(ctx->saved_data["precision"].toInt());
    torch::Tensor dx;
    if (ctx->needs_input_grad(0)) {
      dx = torch::empty_like(x);
      product_dx(precision, dy, weight, dx);
    }
    const bool bias_wanted = ctx->saved_data["has_bias"].toBool() && ctx->needs_input_grad(2);
    WeightGradient gradient;
    if (ctx->needs_input_grad(1) || bias_wanted) gradient = product_dw(precision, dy, x);
    return {dx, gradient.weight, bias_wanted ? gradient.bias : torch::Tensor(), torch::Tensor()};
  }
};

}  // namespace

torch::Tensor linear(const torch::Tensor& x, const torch::Tensor& weight,
                     const torch::Tensor& bias) {
  if (weight.is_quantized()) return quantized_linear(x, weight, bias);
  if (!runs_on_kernels({x, weight, bias})) return on_torch::linear(x, weight, bias);
  TORCH_CHECK(weight.dim() == 2 && x.dim() >= 1 && x.size(-1) == weight.size(1) &&
                  (!bias.defined() || bias.numel() == weight.size(0)),
              "linear: x ", x.sizes(), " does not fit weight ", weight.sizes());
  return LinearFunction::apply(x, weight, bias.defined() ? OptionalTensor(bias) : OptionalTensor(),
                               use_of(weight) == WeightUse::kAgain);
}

}  // namespace opencloc::ops

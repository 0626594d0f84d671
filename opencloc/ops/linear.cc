#include "opencloc/ops/dispatch.h"
#include "opencloc/ops/ops.h"
#include "opencloc/ops/products.h"
#include "opencloc/ops/reference.h"

namespace opencloc::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct LinearFunction : torch::autograd::Function<LinearFunction> {
  // An optional, because autograd takes no undefined tensor for an input.
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& input,
                               const torch::Tensor& weight_input,
                               const c10::optional<torch::Tensor>& bias_input) {
    const auto bias = bias_input ? bias_input->contiguous() : torch::Tensor();
    const auto x = input.contiguous(), weight = weight_input.contiguous();
    auto y = torch::empty(with_last(x, weight.size(0)), x.options());
    const bool has_bias = bias.numel() > 0;
    product_forward(x, weight, has_bias ? bias.contiguous() : torch::Tensor(), row_count(x), y);
    ctx->save_for_backward({x, weight});
    ctx->saved_data["has_bias"] = has_bias;
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1];
    const auto dy = grads[0].contiguous();
    const int64_t rows = row_count(x);
    torch::Tensor dx, dw, dbias;
    if (ctx->needs_input_grad(0)) {
      dx = torch::empty_like(x);
      product_dx(dy, weight, rows, dx);
    }
    if (ctx->needs_input_grad(1)) dw = product_dw(dy, x, rows);
    if (ctx->saved_data["has_bias"].toBool() && ctx->needs_input_grad(2)) {
      dbias = product_dbias(dy, rows);
    }
    return {dx, dw, dbias};
  }
};

}  // namespace

torch::Tensor linear(const torch::Tensor& x, const torch::Tensor& weight,
                     const torch::Tensor& bias) {
  if (!runs_on_kernels({x, weight, bias})) return reference::linear(x, weight, bias);
  TORCH_CHECK(weight.dim() == 2 && x.dim() >= 1 && x.size(-1) == weight.size(1) &&
                  (!bias.defined() || bias.numel() == weight.size(0)),
              "linear: x ", x.sizes(), " does not fit weight ", weight.sizes());
  // Function::apply() of libtorch 1.13 refuses undefined tensors: none is an empty one inside.
  return LinearFunction::apply(x, weight, bias.defined() ? bias : torch::empty({0}, x.options()));
}

}  // namespace opencloc::ops

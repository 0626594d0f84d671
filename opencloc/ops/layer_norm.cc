#include "opencloc/kernels/pointwise/layer_norm.h"

#include <torch/autograd.h>

#include "opencloc/ops/dispatch.h"
#include "opencloc/ops/on_torch.h"
#include "opencloc/ops/ops.h"

namespace opencloc::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// -> {y}, or with `with_input` {y, x}: then the backward pass adds what reaches x from both sides.
struct LayerNormFunction : torch::autograd::Function<LayerNormFunction> {
  static variable_list forward(AutogradContext* ctx, const torch::Tensor& input,
                               const torch::Tensor& weight_input, const torch::Tensor& bias_input,
                               double epsilon, bool with_input) {
    const auto x = input.contiguous(), weight = weight_input.contiguous();
    const auto bias = bias_input.contiguous();
    const int64_t rows = row_count(x);
    auto y = torch::empty_like(x);
    auto mean = torch::empty({rows}, x.options()), rstd = torch::empty({rows}, x.options());
    kernels::layer_norm_forward(rows, x.size(-1), x.data_ptr<float>(), weight.data_ptr<float>(),
                                bias.data_ptr<float>(), static_cast<float>(epsilon),
                                y.data_ptr<float>(), mean.data_ptr<float>(),
                                rstd.data_ptr<float>());
    ctx->save_for_backward({x, weight, mean, rstd});
    if (with_input) return {y, input};
    return {y};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &mean = saved[2], &rstd = saved[3];
    torch::Tensor beside;
    if (grads.size() > 1 && grads[1].defined()) beside = grads[1].contiguous();
    if (!grads[0].defined()) return {beside, {}, {}, {}, {}};
    const auto dy = grads[0].contiguous();
    auto dx = torch::empty_like(x);
    auto dweight = torch::empty_like(weight), dbias = torch::empty_like(weight);
    kernels::layer_norm_backward(
        row_count(x), x.size(-1), x.data_ptr<float>(), mean.data_ptr<float>(),
        rstd.data_ptr<float>(), weight.data_ptr<float>(), dy.data_ptr<float>(),
        beside.defined() ? beside.data_ptr<float>() : nullptr, dx.data_ptr<float>(),
        dweight.data_ptr<float>(), dbias.data_ptr<float>());
    return {dx, dweight, dbias, {}, {}};
  }
};

void check_sizes(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias) {
  TORCH_CHECK(x.dim() >= 1 && weight.numel() == x.size(-1) && bias.numel() == x.size(-1),
              "layer_norm: x ", x.sizes(), " does not fit weight ", weight.sizes());
}

}  // namespace

torch::Tensor layer_norm(const torch::Tensor& x, const torch::Tensor& weight,
                         const torch::Tensor& bias, double epsilon) {
  if (!runs_on_kernels({x, weight, bias}) || !weight.defined() || !bias.defined()) {
    return on_torch::layer_norm(x, weight, bias, epsilon);
  }
  check_sizes(x, weight, bias);
  return LayerNormFunction::apply(x, weight, bias, epsilon, false)[0];
}

BranchStart branch_start(const torch::Tensor& x, const torch::Tensor& weight,
                         const torch::Tensor& bias, double epsilon) {
  if (!runs_on_kernels({x, weight, bias}))
    return on_torch::add_branch_start(x, {}, weight, bias, epsilon);
  if (!gradients_wanted({x}) || !weight.defined() || !bias.defined())
    return {x, layer_norm(x, weight, bias, epsilon)};
  check_sizes(x, weight, bias);
  const auto out = LayerNormFunction::apply(x, weight, bias, epsilon, true);
  return {out[1], out[0]};
}

BranchStart add_branch_start(const torch::Tensor& x, const torch::Tensor& added,
                             const torch::Tensor& weight, const torch::Tensor& bias,
                             double epsilon) {
  if (!runs_on_kernels({x, added, weight, bias}))
    return on_torch::add_branch_start(x, added, weight, bias, epsilon);
  return branch_start(ops::add(x, added), weight, bias, epsilon);
}

}  // namespace opencloc::ops

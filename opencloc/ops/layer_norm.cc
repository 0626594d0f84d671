#include "opencloc/kernels/pointwise/layer_norm.h"

#include <torch/autograd.h>

#include "opencloc/ops/dispatch.h"
#include "opencloc/ops/ops.h"
#include "opencloc/ops/reference.h"

namespace opencloc::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct LayerNormFunction : torch::autograd::Function<LayerNormFunction> {
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& input,
                               const torch::Tensor& weight_input, const torch::Tensor& bias_input,
                               double epsilon) {
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
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &mean = saved[2], &rstd = saved[3];
    const auto dy = grads[0].contiguous();
    auto dx = torch::empty_like(x);
    auto dweight = torch::empty_like(weight), dbias = torch::empty_like(weight);
    kernels::layer_norm_backward(
        row_count(x), x.size(-1), x.data_ptr<float>(), mean.data_ptr<float>(),
        rstd.data_ptr<float>(), weight.data_ptr<float>(), dy.data_ptr<float>(),
        dx.data_ptr<float>(), dweight.data_ptr<float>(), dbias.data_ptr<float>());
    return {dx, dweight, dbias, torch::Tensor()};
  }
};

}  // namespace

torch::Tensor layer_norm(const torch::Tensor& x, const torch::Tensor& weight,
                         const torch::Tensor& bias, double epsilon) {
  if (!runs_on_kernels({x, weight, bias}) || !weight.defined() || !bias.defined()) {
    return reference::layer_norm(x, weight, bias, epsilon);
  }
  TORCH_CHECK(x.dim() >= 1 && weight.numel() == x.size(-1) && bias.numel() == x.size(-1),
              "layer_norm: x ", x.sizes(), " does not fit weight ", weight.sizes());
  return LayerNormFunction::apply(x, weight, bias, epsilon);
}

}  // namespace opencloc::ops

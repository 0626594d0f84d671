#include "opencloc/kernels/pointwise/gelu.h"

#include <torch/autograd.h>

#include "opencloc/ops/dispatch.h"
#include "opencloc/ops/on_torch.h"
#include "opencloc/ops/ops.h"

namespace opencloc::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct GeluFunction : torch::autograd::Function<GeluFunction> {
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& input, int64_t kind) {
    const auto x = input.contiguous();
    auto y = torch::empty_like(x);
    kernels::gelu_forward(static_cast<kernels::Gelu>(kind), x.numel(), x.data_ptr<float>(),
                          y.data_ptr<float>());
    ctx->save_for_backward({x});
    ctx->saved_data["kind"] = kind;
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto x = ctx->get_saved_variables()[0], dy = grads[0].contiguous();
    auto dx = torch::empty_like(x);
    kernels::gelu_backward(static_cast<kernels::Gelu>(ctx->saved_data["kind"].toInt()), x.numel(),
                           x.data_ptr<float>(), dy.data_ptr<float>(), dx.data_ptr<float>());
    return {dx, torch::Tensor()};
  }
};

}  // namespace

torch::Tensor gelu(const torch::Tensor& x, Gelu kind) {
  if (!runs_on_kernels({x})) return on_torch::gelu(x, kind);
  return GeluFunction::apply(x, static_cast<int64_t>(kernel_kind(kind)));
}

}  // namespace opencloc::ops

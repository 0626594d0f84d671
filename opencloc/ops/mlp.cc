#include "opencloc/kernels/gelu.h"
#include "opencloc/ops/dispatch.h"
#include "opencloc/ops/ops.h"
#include "opencloc/ops/products.h"
#include "opencloc/ops/reference.h"

namespace opencloc::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Keeps the hidden layer before the GELU; after it, it is cheaper to compute again than to keep.
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
    product_forward(x, fc_weight, {}, rows, z);
    kernels::bias_gelu_forward(static_cast<kernels::Gelu>(kind), rows, hidden,
                               fc_bias.contiguous().data_ptr<float>(), z.data_ptr<float>(),
                               h.data_ptr<float>());
    auto y = torch::empty(with_last(x, proj_weight.size(0)), x.options());
    product_forward(h, proj_weight, proj_bias.contiguous(), rows, y);
    ctx->save_for_backward({x, fc_weight, proj_weight, z});
    ctx->saved_data["kind"] = kind;
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &fc_weight = saved[1], &proj_weight = saved[2], &z = saved[3];
    const auto kind = static_cast<kernels::Gelu>(ctx->saved_data["kind"].toInt());
    const auto dy = grads[0].contiguous();
    const int64_t rows = row_count(x);
    auto h = torch::empty_like(z);
    kernels::gelu_forward(kind, z.numel(), z.data_ptr<float>(), h.data_ptr<float>());
    const auto dproj_weight = product_dw(dy, h, rows), dproj_bias = product_dbias(dy, rows);
    auto& dz = h;  // h is not needed any more
    product_dx(dy, proj_weight, rows, dz);
    kernels::gelu_backward(kind, z.numel(), z.data_ptr<float>(), dz.data_ptr<float>(),
                           dz.data_ptr<float>());
    const auto dfc_weight = product_dw(dz, x, rows), dfc_bias = product_dbias(dz, rows);
    torch::Tensor dx;
    if (ctx->needs_input_grad(0)) {
      dx = torch::empty_like(x);
      product_dx(dz, fc_weight, rows, dx);
    }
    return {dx, dfc_weight, dfc_bias, dproj_weight, dproj_bias, torch::Tensor()};
  }
};

}  // namespace

torch::Tensor mlp(const torch::Tensor& x, const MlpWeights& w) {
  if (!runs_on_kernels({x, w.fc_weight, w.fc_bias, w.proj_weight, w.proj_bias})) {
    return reference::mlp(x, w);
  }
  TORCH_CHECK(x.dim() >= 1 && x.size(-1) == w.fc_weight.size(1) &&
                  w.proj_weight.size(1) == w.fc_weight.size(0),
              "mlp: x ", x.sizes(), " does not fit weights ", w.fc_weight.sizes(), ", ",
              w.proj_weight.sizes());
  return MlpFunction::apply(x, w.fc_weight, w.fc_bias, w.proj_weight, w.proj_bias,
                            static_cast<int64_t>(kernel_kind(w.gelu)));
}

}  // namespace opencloc::ops

#include "opencloc/ops/mean_of_mlp.h"

#include <algorithm>

#include <torch/autograd.h>

#include "opencloc/kernels/gemm/mean_hidden_bf16.h"
#include "opencloc/kernels/pointwise/merge.h"
#include "opencloc/ops/dispatch.h"
#include "opencloc/ops/packed_weights.h"
#include "opencloc/ops/precision.h"
#include "opencloc/ops/products.h"

namespace opencloc::ops {
namespace {

using kernels::PackedWeight;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Keeps the hidden layer before the GELU, as bf16.
struct MeanHiddenBf16Function : torch::autograd::Function<MeanHiddenBf16Function> {
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& input,
                               const torch::Tensor& weight_input, const torch::Tensor& bias_input,
                               int64_t kind, bool keep) {
    const auto x = input.contiguous(), weight = weight_input.contiguous();
    const auto bias = bias_input.contiguous();
    const int64_t hidden = weight.size(0);
    const auto packed = packed_bf16(weight, keep ? WeightUse::kOnce : WeightUse::kAgain);
    torch::Tensor z;  // [N, T, F]
    if (keep) z = torch::empty(with_last(x, hidden), x.options().dtype(torch::kBFloat16));
    auto h = torch::empty({x.size(0), hidden}, x.options());  // [N, F]
    kernels::mean_hidden_bf16({.gelu = static_cast<kernels::Gelu>(kind),
                               .fc = packed.get(),
                               .bias = bias.data_ptr<float>()},
                              x.size(0), x.size(1), x.data_ptr<float>(), bf16_data(z),
                              h.data_ptr<float>());
    ctx->save_for_backward({x, weight, z});
    ctx->saved_data["kind"] = kind;
    return h;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &z = saved[2];
    const auto dh = grads[0].contiguous();
    auto dz = torch::empty_like(z);  // [N, T, F]
    kernels::mean_hidden_backward_bf16(static_cast<kernels::Gelu>(ctx->saved_data["kind"].toInt()),
                                       {.groups = z.size(0), .rows = z.size(1), .width = z.size(2)},
                                       bf16_data(z), dh.data_ptr<float>(), bf16_data(dz));
    torch::Tensor dx;
    if (ctx->needs_input_grad(0)) {
      dx = torch::empty_like(x);
      const int64_t width = x.size(2);
      const auto packed =
          PackedWeight::for_backward(weight.data_ptr<float>(), weight.size(0), width);
      kernels::linear_bf16(kernels::view(bf16_data(dz), row_count(dz), weight.size(0)), packed,
                           nullptr, dx.data_ptr<float>());
    }
    const auto gradient = product_dw(Precision::kBf16, dz, x);
    return {dx, gradient.weight, gradient.bias, torch::Tensor(), torch::Tensor()};
  }
};

// mean over T of gelu(x W^T + b): [N, T, D] -> [N, F]. A bounded number of groups at a time: the
// hidden layer is written.
torch::Tensor mean_hidden(const torch::Tensor& x, const MlpWeights& w) {
  const int64_t kElements = int64_t{x.device().is_cpu() ? 8 : 256} << 20;
  const int64_t of_group = std::max<int64_t>(1, x.size(1) * w.fc_weight.size(0));
  const int64_t groups = std::max<int64_t>(1, kElements / of_group);
  std::vector<torch::Tensor> parts;
  for (const auto& part : x.split(groups)) {
    parts.push_back(mean_over_tokens(gelu(linear(part, w.fc_weight, w.fc_bias), w.gelu)));
  }
  return parts.size() == 1 ? parts.front() : torch::cat(parts);
}

struct MeanOverTokensFunction : torch::autograd::Function<MeanOverTokensFunction> {
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& input) {
    const auto x = input.contiguous();
    auto mean = torch::empty({x.size(0), x.size(2)}, x.options());  // [N, D]
    kernels::mean_of_rows(x.size(0), x.size(1), x.size(2), x.data_ptr<float>(),
                          mean.data_ptr<float>());
    ctx->saved_data["tokens"] = x.size(1);
    return mean;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const int64_t tokens = ctx->saved_data["tokens"].toInt();
    return {(grads[0] / tokens).unsqueeze(1).expand({-1, tokens, -1})};  // [N, T, D]
  }
};

}  // namespace

torch::Tensor mean_over_tokens(const torch::Tensor& x) {
  TORCH_CHECK(x.dim() == 3 && x.size(1) >= 1, "mean_over_tokens: x ", x.sizes(), " has no tokens");
  return runs_on_kernels({x}) ? MeanOverTokensFunction::apply(x) : x.mean(1);
}

torch::Tensor mean_of_mlp(const torch::Tensor& x, const MlpWeights& w) {
  TORCH_CHECK(x.dim() == 3 && x.size(1) >= 1 && x.size(2) == w.fc_weight.size(1), "mean_of_mlp: x ",
              x.sizes(), " does not fit weight ", w.fc_weight.sizes());
  const bool fused =
      matmul_precision() == Precision::kBf16 && runs_on_kernels({x, w.fc_weight, w.fc_bias});
  const auto h = fused ? MeanHiddenBf16Function::apply(
                             x, w.fc_weight, w.fc_bias, static_cast<int64_t>(kernel_kind(w.gelu)),
                             gradients_wanted({x, w.fc_weight, w.fc_bias}))
                       : mean_hidden(x, w);      // [N, F]
  return linear(h, w.proj_weight, w.proj_bias);  // [N, D]
}

}  // namespace opencloc::ops

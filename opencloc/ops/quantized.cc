#include "opencloc/ops/quantized.h"

#include "opencloc/base/error.h"
#include "opencloc/kernels/gemm/gemm_int8.h"
#include "opencloc/ops/dispatch.h"
#include "opencloc/ops/packed_weights.h"
#include "opencloc/ops/torch_compat.h"

namespace opencloc::ops {
namespace {

void require_inference(std::initializer_list<torch::Tensor> tensors) {
  if (!runs_on_kernels(tensors)) {
    throw Error::input("8-bit weights are multiplied by our own kernels only, on the CPU",
                       "settings 'device' and 'backend'",
                       "use the settings 'device=cpu' and 'backend=kernels'");
  }
  for (const torch::Tensor& t : tensors) {
    TORCH_CHECK(!(torch::GradMode::is_enabled() && t.defined() && t.requires_grad()),
                "8-bit weights are for inference: no gradient passes them");
  }
}

torch::Tensor dense(const torch::Tensor& t) { return t.defined() ? t.contiguous() : t; }
const float* data_of(const torch::Tensor& t) { return t.defined() ? t.data_ptr<float>() : nullptr; }

}  // namespace

torch::Tensor quantized_linear(const torch::Tensor& x, const torch::Tensor& weight,
                               const torch::Tensor& bias) {
  require_inference({x, bias});
  TORCH_CHECK(x.dim() >= 1 && x.size(-1) == weight.size(1) &&
                  (!bias.defined() || bias.numel() == weight.size(0)),
              "linear: x ", x.sizes(), " does not fit weight ", weight.sizes());
  const auto input = x.contiguous(), b = dense(bias);
  auto y = torch::empty(with_last(x, weight.size(0)), x.options());
  kernels::linear_int8(input.data_ptr<float>(), row_count(x), *packed_int8(weight), data_of(b),
                       y.data_ptr<float>());
  return y;
}

torch::Tensor quantized_mlp(const torch::Tensor& x, const MlpWeights& w) {
  if (!w.fc_weight.is_quantized() || !w.proj_weight.is_quantized()) {
    return linear(gelu(linear(x, w.fc_weight, w.fc_bias), w.gelu), w.proj_weight, w.proj_bias);
  }
  require_inference({x, w.fc_bias, w.proj_bias});
  TORCH_CHECK(x.dim() >= 1 && x.size(-1) == w.fc_weight.size(1) &&
                  w.proj_weight.size(1) == w.fc_weight.size(0),
              "mlp: x ", x.sizes(), " does not fit weights ", w.fc_weight.sizes(), ", ",
              w.proj_weight.sizes());
  const auto input = x.contiguous(), fc_bias = dense(w.fc_bias), proj_bias = dense(w.proj_bias);
  const auto fc = packed_int8(w.fc_weight), proj = packed_int8(w.proj_weight);
  auto y = torch::empty(with_last(x, proj->columns()), x.options());
  kernels::mlp_int8({.gelu = kernel_kind(w.gelu),
                     .fc = fc.get(),
                     .proj = proj.get(),
                     .fc_bias = data_of(fc_bias),
                     .proj_bias = data_of(proj_bias)},
                    input.data_ptr<float>(), row_count(x), y.data_ptr<float>());
  return y;
}

torch::Tensor quantized(const torch::Tensor& weight) {
  TORCH_CHECK(weight.dim() == 2 && weight.scalar_type() == torch::kFloat, "quantized: weight is ",
              weight.scalar_type(), " ", weight.sizes());
  const auto dense = weight.detach().cpu().contiguous();
  const int64_t out = dense.size(0), in = dense.size(1);
  const auto values = torch::empty({out, in}, torch::kChar), scale = torch::empty({out});
  kernels::quantize_weight(dense.data_ptr<float>(), out, in, values.data_ptr<int8_t>(),
                           scale.data_ptr<float>());
  return quantized(values, scale);
}

torch::Tensor quantized(const torch::Tensor& values, const torch::Tensor& scale) {
  TORCH_CHECK(can_be_quantized(values) && scale.dim() == 1 && scale.size(0) == values.size(0),
              "quantized: values ", values.sizes(), " with scales ", scale.sizes());
  return per_channel_tensor(values, scale);
}

torch::Tensor quantized_values(const torch::Tensor& weight) { return weight.int_repr(); }

torch::Tensor quantized_scale(const torch::Tensor& weight) {
  return weight.q_per_channel_scales().to(torch::kFloat);
}

bool can_be_quantized(const torch::Tensor& weight) {
  return weight.dim() == 2 && weight.size(1) <= kernels::kMaxInt8Depth;
}

}  // namespace opencloc::ops

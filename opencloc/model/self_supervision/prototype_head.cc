#include "opencloc/model/self_supervision/prototype_head.h"

#include <cmath>

#include "opencloc/model/layers/initial.h"

namespace opencloc {
namespace {

torch::Tensor unit_rows(const torch::Tensor& rows) {
  const auto values = rows.to(torch::kFloat32);
  return values / values.norm(2, -1, /*keepdim=*/true).clamp_min(1e-12);
}

}  // namespace

PrototypeHeadImpl::PrototypeHeadImpl(const PrototypeHeadConfig& config, int64_t in) {
  fc_1_ = register_module("fc_1", Linear(in, config.hidden));
  fc_2_ = register_module("fc_2", Linear(config.hidden, config.hidden));
  fc_3_ = register_module("fc_3", Linear(config.hidden, config.bottleneck));
  // The deviation that PyTorch's linears begin with: of directions, it says how fast they turn.
  const double deviation = 1 / std::sqrt(3.0 * static_cast<double>(config.bottleneck));
  prototypes_ = register_parameter(
      "prototypes", initial::normal({config.prototypes, config.bottleneck}, deviation));
}

torch::Tensor PrototypeHeadImpl::forward(const torch::Tensor& tokens) {
  auto x = ops::gelu(fc_1_(tokens), ops::Gelu::kErf);                            // [n, hidden]
  x = fc_3_(ops::gelu(fc_2_(x), ops::Gelu::kErf));                               // [n, bottleneck]
  return ops::linear(unit_rows(x), unit_rows(prototypes_)).to(torch::kFloat32);  // [n, K]
}

}  // namespace opencloc

#include "opencloc/model/cloc/box_head.h"

namespace opencloc {

BoxHeadImpl::BoxHeadImpl(int64_t embed_dim) {
  fc1_ = register_module("fc1", Linear(embed_dim, embed_dim));
  fc2_ = register_module("fc2", Linear(embed_dim, 4));
}

torch::Tensor BoxHeadImpl::forward(const torch::Tensor& z) {
  const auto raw =
      torch::sigmoid(fc2_(ops::gelu(fc1_(z), ops::Gelu::kErf)));  // [R, 4] cx, cy, w, h
  const auto centre = raw.slice(1, 0, 2), half = raw.slice(1, 2, 4) * 0.5;
  return torch::cat({centre - half, centre + half}, 1);  // [R, 4]
}

}  // namespace opencloc

#include "opencloc/model/cloc/quality_head.h"

namespace opencloc {

QualityHeadImpl::QualityHeadImpl(int64_t embed_dim) {
  fc1_ = register_module("fc1", Linear(embed_dim, embed_dim));
  fc2_ = register_module("fc2", Linear(embed_dim, 1));
}

torch::Tensor QualityHeadImpl::forward(const torch::Tensor& z) {
  return fc2_(ops::gelu(fc1_(z), ops::Gelu::kErf)).squeeze(1);  // [R]
}

}  // namespace opencloc

#include "opencloc/ops/product.h"

namespace opencloc::ops {

torch::Tensor product(const torch::Tensor& a, const torch::Tensor& b) {
  const torch::NoGradGuard outside_autograd;
  return torch::mm(a, b);
}

torch::Tensor product_nt(const torch::Tensor& a, const torch::Tensor& b) {
  return product(a, b.t());
}

torch::Tensor product_tn(const torch::Tensor& a, const torch::Tensor& b) {
  return product(a.t(), b);
}

}  // namespace opencloc::ops

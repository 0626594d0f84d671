#include "opencloc/ops/product.h"

#include <torch/utils.h>

#include "opencloc/kernels/gemm/gemm_fp32.h"
#include "opencloc/ops/dispatch.h"

namespace opencloc::ops {
namespace {

using kernels::Transpose;

// A matrix as the kernel reads it: rows `lead` apart, as it is or transposed.
struct Layout {
  torch::Tensor matrix;
  Transpose transpose;
  int64_t lead;
};
Layout layout_of(const torch::Tensor& m) {
  if (m.stride(1) == 1 && m.stride(0) >= m.size(1)) return {m, Transpose::kNo, m.stride(0)};
  if (m.stride(0) == 1 && m.stride(1) >= m.size(0)) return {m, Transpose::kYes, m.stride(1)};
  return {m.contiguous(), Transpose::kNo, m.size(1)};
}

}  // namespace

torch::Tensor product(const torch::Tensor& a, const torch::Tensor& b) {
  const torch::NoGradGuard outside_autograd;
  if (!runs_on_kernels({a, b})) return torch::mm(a, b);
  TORCH_CHECK(a.dim() == 2 && b.dim() == 2 && a.size(1) == b.size(0), "product: ", a.sizes(),
              " does not fit ", b.sizes());
  const Layout left = layout_of(a), right = layout_of(b);
  auto c = torch::empty({a.size(0), b.size(1)}, a.options());
  kernels::gemm_fp32({.transpose_a = left.transpose,
                      .transpose_b = right.transpose,
                      .m = a.size(0),
                      .n = b.size(1),
                      .k = a.size(1),
                      .lda = left.lead,
                      .ldb = right.lead,
                      .ldc = b.size(1)},
                     left.matrix.data_ptr<float>(), right.matrix.data_ptr<float>(),
                     c.data_ptr<float>());
  return c;
}

torch::Tensor product_nt(const torch::Tensor& a, const torch::Tensor& b) {
  return product(a, b.t());
}

torch::Tensor product_tn(const torch::Tensor& a, const torch::Tensor& b) {
  return product(a.t(), b);
}

}  // namespace opencloc::ops

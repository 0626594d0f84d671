#include "opencloc/ops/products.h"

#include "opencloc/kernels/gelu.h"
#include "opencloc/kernels/gemm_fp32.h"

namespace opencloc::ops {

using kernels::Transpose;

void product_forward(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias,
                     int64_t rows, torch::Tensor& y) {
  const int64_t out = weight.size(0), in = weight.size(1);
  kernels::gemm_fp32({.transpose_b = Transpose::kYes,
                      .m = rows,
                      .n = out,
                      .k = in,
                      .lda = in,
                      .ldb = in,
                      .ldc = out},
                     x.data_ptr<float>(), weight.data_ptr<float>(), y.data_ptr<float>());
  if (bias.defined()) {
    kernels::add_bias(rows, out, bias.data_ptr<float>(), y.data_ptr<float>());
  }
}

void product_dx(const torch::Tensor& dy, const torch::Tensor& weight, int64_t rows,
                torch::Tensor& dx) {
  const int64_t out = weight.size(0), in = weight.size(1);
  kernels::gemm_fp32({.m = rows, .n = in, .k = out, .lda = out, .ldb = in, .ldc = in},
                     dy.data_ptr<float>(), weight.data_ptr<float>(), dx.data_ptr<float>());
}

torch::Tensor product_dw(const torch::Tensor& dy, const torch::Tensor& x, int64_t rows) {
  const int64_t out = dy.size(-1), in = x.size(-1);
  auto dw = torch::empty({out, in}, x.options());
  kernels::gemm_fp32({.transpose_a = Transpose::kYes,
                      .m = out,
                      .n = in,
                      .k = rows,
                      .lda = out,
                      .ldb = in,
                      .ldc = in},
                     dy.data_ptr<float>(), x.data_ptr<float>(), dw.data_ptr<float>());
  return dw;
}

torch::Tensor product_dbias(const torch::Tensor& dy, int64_t rows) {
  auto sums = torch::empty({dy.size(-1)}, dy.options());
  kernels::column_sums(rows, dy.size(-1), dy.data_ptr<float>(), sums.data_ptr<float>());
  return sums;
}

}  // namespace opencloc::ops

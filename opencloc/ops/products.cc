#include "opencloc/ops/products.h"

#include "opencloc/kernels/gemm/gemm_bf16.h"
#include "opencloc/kernels/gemm/gemm_fp32.h"
#include "opencloc/kernels/pointwise/gelu.h"
#include "opencloc/ops/dispatch.h"
#include "opencloc/ops/packed_weights.h"
#include "opencloc/ops/precision.h"

namespace opencloc::ops {
namespace {

using kernels::PackedWeight;
using kernels::Transpose;

kernels::MatrixView matrix_view(const torch::Tensor& t) {
  return {.data = t.data_ptr(),
          .is_bf16 = t.scalar_type() == torch::kBFloat16,
          .rows = row_count(t),
          .columns = t.size(-1),
          .stride = t.size(-1)};
}

}  // namespace

WeightUse use_of(const torch::Tensor& weight) {
  return torch::GradMode::is_enabled() && weight.requires_grad() ? WeightUse::kOnce
                                                                 : WeightUse::kAgain;
}

void product_forward(Precision precision, const torch::Tensor& x, const torch::Tensor& weight,
                     const torch::Tensor& bias, torch::Tensor& y, WeightUse use) {
  const int64_t rows = row_count(x);
  const float* bias_data = bias.defined() ? bias.data_ptr<float>() : nullptr;
  if (precision == Precision::kBf16) {
    // A kept form belongs to the weight's own place: a dense copy would be another one each time.
    const auto packed =
        use == WeightUse::kAgain ? packed_bf16(weight) : packed_bf16(weight.contiguous(), use);
    return kernels::linear_bf16(matrix_view(x), *packed, bias_data, y.data_ptr<float>());
  }
  kernels::linear_fp32(x.data_ptr<float>(), rows, *packed_fp32(weight, use), bias_data,
                       y.data_ptr<float>());
}

void product_dx(Precision precision, const torch::Tensor& dy, const torch::Tensor& weight,
                torch::Tensor& dx) {
  const int64_t out = weight.size(0), in = weight.size(1);
  if (precision == Precision::kBf16) {
    const auto packed = PackedWeight::for_backward(weight.data_ptr<float>(), out, in);
    return kernels::linear_bf16(matrix_view(dy), packed, nullptr, dx.data_ptr<float>());
  }
  kernels::gemm_fp32({.m = row_count(dy), .n = in, .k = out, .lda = out, .ldb = in, .ldc = in},
                     dy.data_ptr<float>(), weight.data_ptr<float>(), dx.data_ptr<float>());
}

WeightGradient product_dw(Precision precision, const torch::Tensor& dy, const torch::Tensor& x) {
  const int64_t rows = row_count(x), out = dy.size(-1), in = x.size(-1);
  const auto options = x.options().dtype(torch::kFloat);
  WeightGradient gradient{torch::empty({out, in}, options), torch::empty({out}, options)};
  float *dw = gradient.weight.data_ptr<float>(), *dbias = gradient.bias.data_ptr<float>();
  if (precision == Precision::kBf16 || matrix_view(dy).is_bf16 || matrix_view(x).is_bf16) {
    kernels::weight_gradient_bf16(matrix_view(dy), matrix_view(x), dw, dbias);
    return gradient;
  }
  kernels::gemm_fp32({.transpose_a = Transpose::kYes,
                      .m = out,
                      .n = in,
                      .k = rows,
                      .lda = out,
                      .ldb = in,
                      .ldc = in},
                     dy.data_ptr<float>(), x.data_ptr<float>(), dw);
  kernels::column_sums(rows, out, dy.data_ptr<float>(), dbias);
  return gradient;
}

}  // namespace opencloc::ops

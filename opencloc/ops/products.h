// The three matrix products of a linear layer on dense F32 tensors in main memory, outside
// autograd, in matmul_precision(). Private to opencloc/ops.
#pragma once

#include <torch/torch.h>

namespace opencloc::ops {

// x [rows, I] W [O, I]^T + bias [O] (may be undefined) -> `y` [rows, O].
void product_forward(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias,
                     int64_t rows, torch::Tensor& y);
// dy [rows, O] W [O, I] -> dx [rows, I].
void product_dx(const torch::Tensor& dy, const torch::Tensor& weight, int64_t rows,
                torch::Tensor& dx);
// dy [rows, O]^T x [rows, I] -> dW [O, I].
torch::Tensor product_dw(const torch::Tensor& dy, const torch::Tensor& x, int64_t rows);
// Column sums of dy [rows, O] -> [O].
torch::Tensor product_dbias(const torch::Tensor& dy, int64_t rows);

}  // namespace opencloc::ops

// Plain matrix products outside autograd, for code that writes its own backward pass. F32 products
// stay F32 whatever matmul_precision() says; the result has the type and device of the operands.
#pragma once

#include <torch/types.h>

namespace opencloc::ops {

torch::Tensor product(const torch::Tensor& a, const torch::Tensor& b);  // [M, K] [K, N] -> [M, N]
torch::Tensor product_nt(const torch::Tensor& a,
                         const torch::Tensor& b);  // [M, K] [N, K] -> [M, N]
torch::Tensor product_tn(const torch::Tensor& a,
                         const torch::Tensor& b);  // [K, M] [K, N] -> [M, N]

}  // namespace opencloc::ops

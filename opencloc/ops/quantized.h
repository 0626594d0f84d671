// Weights of 8 bits, for inference: linear() and mlp() take them in place of F32 ones, on the CPU.
// They are torch's own quantised tensors, a scale an output channel and no zero point, so a layer
// holds one as it holds any weight. Inputs are quantised a row at a time as they are multiplied
// (kernels/gemm/gemm_int8.h). No gradient passes: asking for one is an error. Such a weight cannot
// be sliced.
#pragma once

#include <torch/types.h>

#include "opencloc/ops/ops.h"

namespace opencloc::ops {

// weight [O, I] F32, finite -> the nearest 8-bit one.
torch::Tensor quantized(const torch::Tensor& weight);
// From its parts: values [O, I] int8, scale [O] F32; I <= kernels::kMaxInt8Depth.
torch::Tensor quantized(const torch::Tensor& values, const torch::Tensor& scale);
// The parts, copied.
torch::Tensor quantized_values(const torch::Tensor& weight);  // [O, I] int8
torch::Tensor quantized_scale(const torch::Tensor& weight);   // [O] F32

// What linear() and mlp() do with such weights. Error (input) where x is not on the CPU.
torch::Tensor quantized_linear(const torch::Tensor& x, const torch::Tensor& weight,
                               const torch::Tensor& bias);
torch::Tensor quantized_mlp(const torch::Tensor& x, const MlpWeights& weights);

// Products in 32-bit integers can overflow in a layer of more inputs.
bool can_be_quantized(const torch::Tensor& weight);

}  // namespace opencloc::ops

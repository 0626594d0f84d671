// Our CUDA kernels for libtorch's backend, where they can be used. Private to opencloc/ops, and for
// tests.
#pragma once

#include <torch/types.h>

#include "opencloc/kernels/cuda/cuda_kernels.h"
#include "opencloc/ops/ops.h"

namespace opencloc::ops {

// For tensors of this device; null: libtorch computes it all. On a GPU they come from
// libopencloc_cuda.so beside the program, in ../lib or ../../lib, where the build made one.
const kernels::cuda::Kernels* cuda_kernels(torch::Device device);

// For tests: the kernels of another kind of device, e.g. run on the CPU. Null takes them away.
void set_cuda_kernels(c10::DeviceType device, const kernels::cuda::Kernels* kernels);

// x + added (undefined: x alone) and its layer norm, bf16 [..., D], by the kernels: what
// add_branch_start() is. weight, bias F32 [D].
BranchStart add_layer_norm(const kernels::cuda::Kernels& kernels, const torch::Tensor& x,
                           const torch::Tensor& added, const torch::Tensor& weight,
                           const torch::Tensor& bias, double epsilon);

// gelu(z), bf16, outside of autograd.
torch::Tensor gelu_by(const kernels::cuda::Kernels& kernels, const torch::Tensor& z, Gelu kind);
// dh * gelu'(z) [..., F] bf16, and its sums over the rows [F] F32.
struct GeluGradient {
  torch::Tensor z, bias;
};
GeluGradient gelu_gradient_by(const kernels::cuda::Kernels& kernels, const torch::Tensor& dh,
                              const torch::Tensor& z, Gelu kind);

}  // namespace opencloc::ops

// When a tensor runs on our kernels, and small helpers of the code over them.
#pragma once

#include <initializer_list>

#include <ATen/Parallel.h>
#include <torch/types.h>

#include "opencloc/kernels/gemm/packed_bf16.h"
#include "opencloc/kernels/pointwise/gelu.h"
#include "opencloc/ops/ops.h"
#include "opencloc/ops/precision.h"

namespace opencloc::ops {

// All defined tensors are F32 in main memory, and Backend::kKernels computes. Also makes torch's
// thread count OpenMP's on this thread, which the kernels read.
inline bool runs_on_kernels(c10::ArrayRef<torch::Tensor> tensors) {
  if (backend_now() != Backend::kKernels) return false;
  for (const torch::Tensor& t : tensors) {
    if (t.defined() && !(t.device().is_cpu() && t.scalar_type() == torch::kFloat)) return false;
  }
  at::internal::lazy_init_num_threads();
  return true;
}
inline bool runs_on_kernels(std::initializer_list<torch::Tensor> tensors) {
  return runs_on_kernels(c10::ArrayRef<torch::Tensor>(tensors));
}

// On libtorch, with products in bf16: the activations are bf16 between them.
inline bool activations_are_bf16(torch::Device device) {
  return matmul_precision() == Precision::kBf16 &&
         (backend_now() == Backend::kTorch || !device.is_cpu());
}

// Whether autograd will ask for the gradient of something made of these.
inline bool gradients_wanted(std::initializer_list<torch::Tensor> tensors) {
  if (!torch::GradMode::is_enabled()) return false;
  for (const torch::Tensor& t : tensors) {
    if (t.defined() && t.requires_grad()) return true;
  }
  return false;
}

inline kernels::bf16* bf16_data(const torch::Tensor& t) {
  return t.defined() ? reinterpret_cast<kernels::bf16*>(t.data_ptr<at::BFloat16>()) : nullptr;
}

// x [..., width] as [rows, width], rows = product of the leading dimensions.
inline int64_t row_count(const torch::Tensor& x) {
  const int64_t width = x.size(-1);
  return width == 0 ? 0 : x.numel() / width;
}

// The sizes of x with the last one replaced.
inline std::vector<int64_t> with_last(const torch::Tensor& x, int64_t width) {
  auto sizes = x.sizes().vec();
  sizes.back() = width;
  return sizes;
}

inline kernels::Gelu kernel_kind(Gelu kind) {
  switch (kind) {
    case Gelu::kErf:
      return kernels::Gelu::kErf;
    case Gelu::kQuick:
      return kernels::Gelu::kQuick;
    case Gelu::kTanh:
      break;
  }
  return kernels::Gelu::kTanh;
}

}  // namespace opencloc::ops

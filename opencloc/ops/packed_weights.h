// Weights in the form products read, kept from one call to the next: packing costs as much as a
// product with few rows. Private to opencloc/ops.
//
// A kept form belongs to a place in memory and to its tensor's version, which every in-place
// operation raises: a weight that was written is packed anew. Code that writes through a raw
// pointer must raise it too (adamw_step() does). Forms never hold their weight: those of weights
// that are gone or were written are dropped whenever another is made, and by adamw_step().
// Thread-safe.
#pragma once

#include <memory>

#include <torch/types.h>

#include "opencloc/kernels/gemm/gemm_bf16.h"
#include "opencloc/kernels/gemm/gemm_int8.h"
#include "opencloc/kernels/gemm/linear_fp32.h"
#include "opencloc/ops/products.h"

namespace opencloc::ops {

// weight [O, I] F32 on the CPU, any strides, for y = x W^T. Tensors of inference mode have no
// version: they are packed at every call.
std::shared_ptr<const kernels::PackedWeight> packed_bf16(const torch::Tensor& weight);
// The same, kept with WeightUse::kAgain alone; `weight` is dense.
std::shared_ptr<const kernels::PackedWeight> packed_bf16(const torch::Tensor& weight,
                                                         WeightUse use);
// The same in F32, of any strides.
std::shared_ptr<const kernels::PackedFp32> packed_fp32(const torch::Tensor& weight,
                                                       WeightUse use = WeightUse::kAgain);
// weight [O, I] or bias [O] F32 on any device, any strides -> the same rounded to bf16, kept: what
// libtorch's products read. Outside of autograd.
torch::Tensor rounded_bf16(const torch::Tensor& weight);
// weight [O, I] as quantized.h has it, dense.
std::shared_ptr<const kernels::PackedInt8> packed_int8(const torch::Tensor& weight);

void drop_stale_packed_weights();
// Forms held now, stale ones among them; for tests.
int64_t packed_weights_held();

}  // namespace opencloc::ops

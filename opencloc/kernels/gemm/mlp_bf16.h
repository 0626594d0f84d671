// The MLP block in bf16: the hidden layer of a panel of rows never leaves the cache between the two
// products. Threaded; the same result for any number of threads.
#pragma once

#include <cstdint>

#include "opencloc/kernels/gemm/gemm_bf16.h"
#include "opencloc/kernels/pointwise/gelu.h"

namespace opencloc::kernels {

// z = bf16(x FC + fc_bias) [rows, F], kept for the backward pass unless null;
// y [rows, D] = bf16(gelu(z)) PROJ + proj_bias. fc and proj packed for_forward.
struct MlpForward {
  Gelu gelu = Gelu::kErf;
  const PackedWeight* fc = nullptr;
  const PackedWeight* proj = nullptr;
  const float* fc_bias = nullptr;
  const float* proj_bias = nullptr;
};
void mlp_forward_bf16(const MlpForward& mlp, int64_t rows, const float* x, bf16* z, float* y);

// From dy [rows, D] and z: dz = bf16(dH gelu'(z)) and h = bf16(gelu(z)) [rows, F], what the
// weights' gradients need, and dx [rows, D] (null: not wanted). fc and proj packed for_backward.
struct MlpBackward {
  Gelu gelu = Gelu::kErf;
  const PackedWeight* fc = nullptr;
  const PackedWeight* proj = nullptr;
};
void mlp_backward_bf16(const MlpBackward& mlp, int64_t rows, const float* dy, const bf16* z,
                       bf16* dz, bf16* h, float* dx);

}  // namespace opencloc::kernels

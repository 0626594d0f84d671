// An MLP's hidden layer averaged over the rows of each group, in bf16, which is never written: all
// that the MLP's mean output needs of it. Threaded over groups; the same result for any number of
// threads.
#pragma once

#include <cstdint>

#include "opencloc/kernels/gemm/gemm_bf16.h"
#include "opencloc/kernels/pointwise/gelu.h"

namespace opencloc::kernels {

struct HiddenLayer {
  Gelu gelu = Gelu::kErf;
  const PackedWeight* fc = nullptr;  // packed for_forward
  const float* bias = nullptr;
};

// x [groups, rows, D], rows >= 1; z = bf16(x FC + bias) [groups, rows, F], kept for the backward
// pass unless null; h [groups, F] = mean over the rows of gelu(z).
void mean_hidden_bf16(const HiddenLayer& layer, int64_t groups, int64_t rows, const float* x,
                      bf16* z, float* h);

// From dh [groups, F] and z [groups, rows, F]: dz = bf16(dh / rows gelu'(z)), of the same layout.
struct HiddenSize {
  int64_t groups = 0, rows = 0, width = 0;
};
void mean_hidden_backward_bf16(Gelu kind, const HiddenSize& size, const bf16* z, const float* dh,
                               bf16* dz);

}  // namespace opencloc::kernels

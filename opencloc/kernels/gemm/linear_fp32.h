// Linear layers in F32 with weights laid out beforehand: y = x W^T + bias.
//
// Rows of x are read as they lie. Threaded; the same result for any number of threads.
#pragma once

#include <cstdint>

#include "opencloc/kernels/aligned_buffer.h"
#include "opencloc/kernels/pointwise/gelu.h"

namespace opencloc::kernels {

// A weight [O, I] laid out for x W^T: panels of 32 columns (rows of the weight), of each panel 32
// numbers per input, zeros beyond O. Read-only once made: any number of threads may use it.
class PackedFp32 {
 public:
  PackedFp32(const float* weight, int64_t out, int64_t in);

  int64_t depth() const { return depth_; }
  int64_t columns() const { return columns_; }
  // The panel of columns [32 i, 32 i + 32): [depth, 32].
  const float* panel(int64_t i) const { return packed_.data() + i * 32 * depth_; }

 private:
  int64_t depth_ = 0, columns_ = 0;
  AlignedBuffer<float> packed_;
};

// y [rows, O] = x [rows, I] W^T + bias [O] (null: none).
void linear_fp32(const float* x, int64_t rows, const PackedFp32& weight, const float* bias,
                 float* y);

// y = gelu(x FC^T + fc_bias) PROJ^T + proj_bias; the hidden layer of a panel of rows stays in the
// cache.
struct MlpFp32 {
  Gelu gelu = Gelu::kErf;
  const PackedFp32* fc = nullptr;
  const PackedFp32* proj = nullptr;
  const float* fc_bias = nullptr;
  const float* proj_bias = nullptr;
};
void mlp_fp32(const MlpFp32& mlp, const float* x, int64_t rows, float* y);

}  // namespace opencloc::kernels

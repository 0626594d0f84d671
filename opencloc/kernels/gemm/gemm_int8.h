// Linear layers with 8-bit operands, for inference: y = x W^T + bias.
//
// Weights are s8 with a scale an output channel: w = scale[o] q, |q| <= 127. Inputs are u8 with a
// scale and an offset a row, taken from that row when it is multiplied: x = scale[r] q + min(row),
// 0 <= q <= 255. u8 because that is what VNNI multiplies with s8, and because what comes out of a
// GELU has one sign: a symmetric s8 would waste half of its range. The offset costs one column sum
// a channel, made when the weight is packed; it is no integer, so a row's ends are met exactly.
//
// Sums are exact in 32 bits, so every instruction set multiplies to the same integers. A row with
// an infinity or NaN gives NaN throughout. Threaded; the same result for any number of threads.
#pragma once

#include <cstdint>

#include "opencloc/kernels/aligned_buffer.h"
#include "opencloc/kernels/gemm/packed_int8.h"
#include "opencloc/kernels/pointwise/gelu.h"

namespace opencloc::kernels {

// The most inputs whose sum of products cannot pass 32 bits, whatever the bytes: 255 * 128 * 65792.
constexpr int64_t kMaxInt8Depth = 65792;

// values [O, I], scale [O] of row o of w [O, I]: round(w / scale) with scale = max |w| / 127 (0 for
// a row of zeros). w must be finite.
void quantize_weight(const float* w, int64_t out, int64_t in, int8_t* values, float* scale);

// A quantised weight laid out for products. Read-only once made: any number of threads may use it.
class PackedInt8 {
 public:
  // values [O, I], scale [O]; I <= kMaxInt8Depth.
  PackedInt8(const int8_t* values, const float* scale, int64_t out, int64_t in);

  int64_t depth() const { return depth_; }
  int64_t columns() const { return columns_; }
  // The panel of columns [32 i, 32 i + 32).
  const int8_t* panel(int64_t i) const { return packed_.data() + i * int8_panel_bytes(depth_); }
  const float* scale() const { return scale_.data(); }            // [O]
  const float* column_sum() const { return column_sum_.data(); }  // [O]: of w over its inputs

 private:
  int64_t depth_ = 0, columns_ = 0;
  AlignedBuffer<int8_t> packed_;
  AlignedBuffer<float> scale_, column_sum_;
};

// y [rows, O] = x [rows, I] W^T + bias [O] (null: none).
void linear_int8(const float* x, int64_t rows, const PackedInt8& weight, const float* bias,
                 float* y);

// y = gelu(x FC^T + fc_bias) PROJ^T + proj_bias. The hidden layer of a panel of rows is F32, since
// a row's scale is known only when the whole row is; it is quantised from the cache.
struct MlpInt8 {
  Gelu gelu = Gelu::kErf;
  const PackedInt8* fc = nullptr;
  const PackedInt8* proj = nullptr;
  const float* fc_bias = nullptr;
  const float* proj_bias = nullptr;
};
void mlp_int8(const MlpInt8& mlp, const float* x, int64_t rows, float* y);

}  // namespace opencloc::kernels

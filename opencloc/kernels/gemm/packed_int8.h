// The tile formats of int8 products, shared by every instruction set. Private to opencloc/kernels.
//
// As packed_bf16.h with four bytes where there are two bf16: one step of depth is 64. A left panel
// of 32 rows is [depth / 64][2][16 rows][64] of u8, a right panel of 32 columns is
// [depth / 64][2][16 depth quads][16 columns][4] of s8. Everything is padded with zeros to 32 and
// 64. As 16 x 16 matrices of 32-bit words, a right tile is the transpose of a left tile.
#pragma once

#include <cstdint>

namespace opencloc::kernels {

constexpr int64_t kTileBytes = 16 * 64;
constexpr int64_t steps_of_64(int64_t depth) { return (depth + 63) / 64; }
// Bytes of 32 rows (columns) of a packed operand.
constexpr int64_t int8_panel_bytes(int64_t depth) { return steps_of_64(depth) * 2 * kTileBytes; }

// How a block of sums becomes numbers again: each pointer at the block's first row or column.
// x [r, k] = row_scale[r] a[r, k] + row_offset[r] and w [k, c] = column_scale[c] b[k, c], so
// y = row_scale column_scale sum + row_offset column_sum + bias, column_sum = sum of w over k.
struct Int8Scales {
  const float* row_scale = nullptr;
  const float* row_offset = nullptr;
  const float* column_scale = nullptr;
  const float* column_sum = nullptr;
  const float* bias = nullptr;  // null: none
};

}  // namespace opencloc::kernels

// The tile formats of bf16 products, shared by every instruction set. Private to opencloc/kernels.
//
// A product C = A B walks 32 x 32 blocks of C, and for each of them its depth (the dimension summed
// over) in steps of 32. One step of A is two tiles of [16 rows, 32 depth], row after row: a "left"
// panel of 32 rows is [depth / 32][2][16][32]. One step of B is two tiles of 16 columns, two depth
// rows interleaved: [16 depth pairs][16 columns][2], a "right" panel of 32 columns is
// [depth / 32][2][16][16][2]. Everything is padded with zeros to 32. As 16 x 16 matrices of 32-bit
// words, a right tile is the transpose of a left tile.
#pragma once

#include <cstdint>

namespace opencloc::kernels {

using bf16 = uint16_t;  // the upper half of an F32

constexpr int64_t kTileElements = 16 * 32;
constexpr int64_t blocks_of_32(int64_t n) { return (n + 31) / 32; }
// Elements of a whole packed operand.
constexpr int64_t packed_elements(int64_t side, int64_t depth) {
  return blocks_of_32(side) * blocks_of_32(depth) * 2 * kTileElements;
}

enum class TileSide { kLeft, kRight };

// What is packed: `side` rows of A (columns of B) by `depth`, in memory as F32 or bf16, `stride`
// elements between its rows.
struct PackSource {
  const void* data = nullptr;
  bool is_bf16 = false;
  int64_t side = 0;
  int64_t depth = 0;
  int64_t stride = 0;
};

// Where a finished block goes: its size (at most 32 x 32) and the elements between its rows.
struct BlockPlace {
  int64_t rows = 0, columns = 0, stride = 0;
};

}  // namespace opencloc::kernels

// The product of packed blocks on vectors, where there are no tile registers.
#pragma once

#if !defined(OPENCLOC_TILE_REGISTERS)
#include "opencloc/kernels/impl/bf16.inl"

namespace opencloc::kernels {
namespace {

void begin_blocks() {}
void end_blocks() {}

// One vector of columns of a right tile's row: pairs of depth rows; and the pair of a left row that
// multiplies it.
#if defined(__AVX512BF16__)
typedef __m512bh Pairs;
OPENCLOC_INLINE Pairs column_pairs(const bf16* tile) { return (__m512bh)_mm512_loadu_si512(tile); }
OPENCLOC_INLINE Pairs row_pair(uint32_t word) {
  return (__m512bh)_mm512_set1_epi32(static_cast<int>(word));
}
OPENCLOC_INLINE Vec multiply_add(Vec sum, const Pairs& a, const Pairs& b) {
  return (Vec)_mm512_dpbf16_ps((__m512)sum, a, b);
}
#else
struct Pairs {
  Vec even, odd;
};
OPENCLOC_INLINE Pairs split(UintVec words) {
  return Pairs{(Vec)(words << 16), (Vec)(words & 0xffff0000u)};
}
OPENCLOC_INLINE Pairs column_pairs(const bf16* tile) {
  UintVec words;
  __builtin_memcpy(&words, tile, sizeof words);
  return split(words);
}
OPENCLOC_INLINE Pairs row_pair(uint32_t word) { return split(word - UintVec{}); }
OPENCLOC_INLINE Vec multiply_add(Vec sum, const Pairs& a, const Pairs& b) {
  return sum + a.even * b.even + a.odd * b.odd;
}
#endif

constexpr int kStripVecs = kTileVecs * kWidth > 32 ? 32 / kWidth : kTileVecs;

// kRows rows of c from row0, one strip of columns. kFetch: what lies `ahead` of b, which is
// multiplied next, is brought into the second-level cache.
template <int kRows, bool kFetch>
OPENCLOC_INLINE void block_strip(int64_t depth_blocks, const bf16* a, const bf16* b, float* c,
                                 int64_t row0, int64_t column0, bool accumulate, int64_t ahead) {
  Vec sums[kRows][kStripVecs];
  float* corner = c + row0 * 32 + column0;
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kStripVecs; ++v) {
      sums[r][v] = accumulate ? load(corner + r * 32 + v * kWidth) : Vec{};
    }
  }
  for (int64_t d = 0; d < depth_blocks; ++d, a += 2 * kTile, b += 2 * kTile) {
    for (int64_t pair = 0; pair < 16; ++pair) {
      Pairs columns[kStripVecs];
      for (int v = 0; v < kStripVecs; ++v) {
        const int64_t at = column0 + v * kWidth;
        const bf16* from = b + at / 16 * kTile + pair * 32 + at % 16 * 2;
        columns[v] = column_pairs(from);
        if constexpr (kFetch) __builtin_prefetch(from + ahead, 0, 2);
      }
      for (int r = 0; r < kRows; ++r) {
        const int64_t row = row0 + r;
        uint32_t word;
        __builtin_memcpy(&word, a + row / 16 * kTile + row % 16 * 32 + pair * 2, sizeof word);
        const Pairs factor = row_pair(word);
        for (int v = 0; v < kStripVecs; ++v) {
          sums[r][v] = multiply_add(sums[r][v], factor, columns[v]);
        }
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kStripVecs; ++v) store(corner + r * 32 + v * kWidth, sums[r][v]);
  }
}

// Depth that is multiplied at a time, in blocks of 32: so much of b, 24 KB, stays in the
// first-level cache while the rows pass, which read 2 KB per block and 16 rows.
constexpr int64_t kCachedBlocks = 12;

OPENCLOC_INLINE void some_rows(int64_t depth_blocks, int64_t rows, const bf16* a, const bf16* b,
                               float* c, bool accumulate) {
  constexpr int kRows = kWidth == 16 ? 8 : 4;
  for (int64_t first = 0; first < depth_blocks || first == 0; first += kCachedBlocks) {
    const int64_t left_over = depth_blocks - first;
    const int64_t blocks = left_over < kCachedBlocks ? left_over : kCachedBlocks;
    const bf16 *left = a + first * 2 * kTile, *right = b + first * 2 * kTile;
    for (int64_t column = 0; column < 32; column += kStripVecs * kWidth) {
      const bool add = accumulate || first > 0;
      block_strip<kRows, true>(blocks, left, right, c, 0, column, add, depth_blocks * 2 * kTile);
      for (int64_t row = kRows; row < rows; row += kRows) {
        block_strip<kRows, false>(blocks, left, right, c, row, column, add, 0);
      }
    }
  }
}

// The same with vectors in place of tile registers.
void block(int64_t depth_blocks, const bf16* a, const bf16* b, float* c, bool accumulate) {
  some_rows(depth_blocks, 32, a, b, c, accumulate);
}
void block_rows(int64_t depth_blocks, int64_t rows, const bf16* a, const bf16* b, float* c) {
  some_rows(depth_blocks, rows, a, b, c, false);
}

}  // namespace
}  // namespace opencloc::kernels
#endif

// The int8 product of packed blocks on vectors, where there are no tile registers.
#pragma once

#if !defined(OPENCLOC_TILE_REGISTERS)
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "opencloc/kernels/isa/kernel_table.h"
#include "opencloc/kernels/isa/vec.h"

namespace opencloc::kernels {
namespace {

// Sums of kWidth columns; four bytes of as many columns of a right tile; four bytes of a left row,
// as often. multiply_add() is exact.
#if defined(__AVX512VNNI__)
typedef __m512i Sums;
typedef __m512i Quads;
OPENCLOC_INLINE Quads column_quads(const int8_t* tile) { return _mm512_loadu_si512(tile); }
OPENCLOC_INLINE Quads row_quads(int32_t word) { return _mm512_set1_epi32(word); }
// Not _mm512_dpbusd_epi32(): GCC 12 copies the sums before and after each.
OPENCLOC_INLINE Sums multiply_add(Sums sums, const Quads& row, const Quads& columns) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(row), "v"(columns));
  return sums;
}
#elif defined(__AVX2__)
// The one instruction for u8 x s8 (vpmaddubsw) saturates at 16 bits. So the bytes become 16 bits
// wide, even and odd ones apart, and pairs of products are added in 32.
#if defined(__AVX512BW__)
typedef __m512i Sums;
OPENCLOC_INLINE Sums load_bytes(const int8_t* p) { return _mm512_loadu_si512(p); }
OPENCLOC_INLINE Sums even_signed(Sums v) { return _mm512_srai_epi16(_mm512_slli_epi16(v, 8), 8); }
OPENCLOC_INLINE Sums odd_signed(Sums v) { return _mm512_srai_epi16(v, 8); }
OPENCLOC_INLINE Sums every(int32_t word) { return _mm512_set1_epi32(word); }
OPENCLOC_INLINE Sums add_pairs(Sums sums, Sums a, Sums b) {
  return _mm512_add_epi32(sums, _mm512_madd_epi16(a, b));
}
#else
typedef __m256i Sums;
OPENCLOC_INLINE Sums load_bytes(const int8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
OPENCLOC_INLINE Sums even_signed(Sums v) { return _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8); }
OPENCLOC_INLINE Sums odd_signed(Sums v) { return _mm256_srai_epi16(v, 8); }
OPENCLOC_INLINE Sums every(int32_t word) { return _mm256_set1_epi32(word); }
OPENCLOC_INLINE Sums add_pairs(Sums sums, Sums a, Sums b) {
  return _mm256_add_epi32(sums, _mm256_madd_epi16(a, b));
}
#endif
struct Quads {
  Sums even, odd;
};
OPENCLOC_INLINE Quads column_quads(const int8_t* tile) {
  const Sums bytes = load_bytes(tile);
  return Quads{even_signed(bytes), odd_signed(bytes)};
}
OPENCLOC_INLINE Quads row_quads(int32_t word) {
  return Quads{every(word & 0x00ff00ff), every(word >> 8 & 0x00ff00ff)};
}
OPENCLOC_INLINE Sums multiply_add(Sums sums, const Quads& row, const Quads& columns) {
  return add_pairs(add_pairs(sums, row.even, columns.even), row.odd, columns.odd);
}
#else
// The definition, for all others to agree with.
typedef IntVec Sums;
struct Quads {
  IntVec bytes[4];
};
OPENCLOC_INLINE Quads column_quads(const int8_t* tile) {
  Quads quads;
  for (int i = 0; i < kWidth; ++i) {
    for (int j = 0; j < 4; ++j) quads.bytes[j][i] = tile[4 * i + j];
  }
  return quads;
}
OPENCLOC_INLINE Quads row_quads(int32_t word) {
  Quads quads;
  for (int j = 0; j < 4; ++j) quads.bytes[j] = IntVec{} + (word >> (8 * j) & 255);
  return quads;
}
OPENCLOC_INLINE Sums multiply_add(Sums sums, const Quads& row, const Quads& columns) {
  for (int j = 0; j < 4; ++j) sums += row.bytes[j] * columns.bytes[j];
  return sums;
}
#endif

constexpr int kInt8Vecs = kTileVecs * kWidth > 32 ? 32 / kWidth : kTileVecs;

// kRows rows of c from row0, one strip of columns; kFetch as in block.inl.
template <int kRows, bool kFetch>
OPENCLOC_INLINE void block_strip_int8(int64_t steps, const uint8_t* a, const int8_t* b, int32_t* c,
                                      int64_t row0, int64_t column0, bool accumulate,
                                      int64_t ahead) {
  Sums sums[kRows][kInt8Vecs] = {};
  if (accumulate) {
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kInt8Vecs; ++v) {
        __builtin_memcpy(&sums[r][v], c + (row0 + r) * 32 + column0 + v * kWidth, sizeof(Sums));
      }
    }
  }
  for (int64_t s = 0; s < steps; ++s, a += 2 * kTileBytes, b += 2 * kTileBytes) {
    for (int64_t quad = 0; quad < 16; ++quad) {
      Quads columns[kInt8Vecs];
      for (int v = 0; v < kInt8Vecs; ++v) {
        const int64_t at = column0 + v * kWidth;
        const int8_t* from = b + at / 16 * kTileBytes + quad * 64 + at % 16 * 4;
        columns[v] = column_quads(from);
        if constexpr (kFetch) __builtin_prefetch(from + ahead, 0, 2);
      }
      for (int r = 0; r < kRows; ++r) {
        const int64_t row = row0 + r;
        int32_t word;
        __builtin_memcpy(&word, a + row / 16 * kTileBytes + row % 16 * 64 + quad * 4, sizeof word);
        const Quads factors = row_quads(word);
        for (int v = 0; v < kInt8Vecs; ++v) {
          sums[r][v] = multiply_add(sums[r][v], factors, columns[v]);
        }
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kInt8Vecs; ++v) {
      __builtin_memcpy(c + (row0 + r) * 32 + column0 + v * kWidth, &sums[r][v], sizeof(Sums));
    }
  }
}

void block_int8(int64_t steps, int64_t rows, const uint8_t* a, const int8_t* b, int32_t* c) {
  constexpr int kRows = kWidth == 16 ? 8 : 4;
  for (int64_t first = 0; first < steps || first == 0; first += kCachedBlocks) {
    const int64_t some = steps - first < kCachedBlocks ? steps - first : kCachedBlocks;
    const uint8_t* left = a + first * 2 * kTileBytes;
    const int8_t* right = b + first * 2 * kTileBytes;
    for (int64_t column = 0; column < 32; column += kInt8Vecs * kWidth) {
      block_strip_int8<kRows, true>(some, left, right, c, 0, column, first > 0,
                                    steps * 2 * kTileBytes);
      for (int64_t row = kRows; row < rows; row += kRows) {
        block_strip_int8<kRows, false>(some, left, right, c, row, column, first > 0, 0);
      }
    }
  }
}

}  // namespace
}  // namespace opencloc::kernels
#endif

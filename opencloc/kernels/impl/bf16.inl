// bfloat16: conversion, packing into tiles, the product of packed blocks, and what is done to a
// finished block. The tile formats are described in packed_bf16.h.
#pragma once

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "opencloc/kernels/impl/gelu.inl"
#include "opencloc/kernels/kernel_table.h"
#include "opencloc/kernels/vec.h"

namespace opencloc::kernels {
namespace {

typedef uint32_t UintVec __attribute__((vector_size(kWidth * 4)));
typedef uint16_t HalfVec __attribute__((vector_size(kWidth * 2)));
typedef uint16_t HalfVec32 __attribute__((vector_size(64)));

// Round to nearest even; denormal numbers become 0, as AMX and AVX512_BF16 treat them.
OPENCLOC_INLINE HalfVec to_bf16(Vec x) {
#if defined(__AVX512BF16__)
  return (HalfVec)_mm512_cvtneps_pbh((__m512)x);
#else
  const UintVec bits = (UintVec)x, magnitude = bits & 0x7fffffffu;
  const UintVec rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  const UintVec quiet_nan = bits | 0x00400000u;
  UintVec result = magnitude > 0x7f800000u ? quiet_nan : rounded;
  result = magnitude < 0x00800000u ? bits & 0x80000000u : result;
  return __builtin_convertvector(result >> 16, HalfVec);
#endif
}
OPENCLOC_INLINE Vec from_bf16(HalfVec x) {
  return (Vec)(__builtin_convertvector(x, UintVec) << 16);
}
OPENCLOC_INLINE HalfVec load_half(const bf16* p) {
  HalfVec v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
OPENCLOC_INLINE void store_half(bf16* p, HalfVec v) { __builtin_memcpy(p, &v, sizeof v); }

// kWidth elements of a row as bf16, from either type; zeros from `count` on.
OPENCLOC_INLINE HalfVec half_at(const float* row, int64_t column, int64_t count) {
  if (column + kWidth <= count) return to_bf16(load(row + column));
  if (column >= count) return HalfVec{};
  return to_bf16(load_part(row + column, count - column));
}
OPENCLOC_INLINE HalfVec half_at(const bf16* row, int64_t column, int64_t count) {
  if (column + kWidth <= count) return load_half(row + column);
  bf16 lanes[kWidth] = {};
  for (int64_t i = column; i < count; ++i) lanes[i - column] = row[i];
  return load_half(lanes);
}

// Both forms of kWidth elements of a row.
struct Loaded {
  HalfVec half;
  Vec value;
};
OPENCLOC_INLINE Loaded loaded_at(const float* row, int64_t column, int64_t count) {
  if (column >= count) return Loaded{HalfVec{}, Vec{}};
  const Vec v =
      column + kWidth <= count ? load(row + column) : load_part(row + column, count - column);
  return Loaded{to_bf16(v), v};
}
OPENCLOC_INLINE Loaded loaded_at(const bf16* row, int64_t column, int64_t count) {
  const HalfVec half = half_at(row, column, count);
  return Loaded{half, from_bf16(half)};
}

constexpr int64_t kTile = kTileElements;

// Rows of one tile side by side: rows [16, 32 per depth block].
template <class T>
void pack_rows_of(const PackSource& source, const T* data, bf16* packed) {
  const int64_t depth_blocks = (source.depth + 31) / 32;
  for (int64_t r = 0; r < 32; ++r) {
    bf16* to = packed + r / 16 * kTile + r % 16 * 32;
    if (r >= source.side) {
      for (int64_t b = 0; b < depth_blocks; ++b, to += 2 * kTile) {
        for (int i = 0; i < 32; i += kWidth) store_half(to + i, HalfVec{});
      }
      continue;
    }
    const T* row = data + r * source.stride;
    for (int64_t b = 0; b < depth_blocks; ++b, to += 2 * kTile) {
      for (int i = 0; i < 32; i += kWidth) {
        store_half(to + i, half_at(row, b * 32 + i, source.depth));
      }
    }
  }
}
void pack_rows(const PackSource& source, bf16* packed) {
  source.is_bf16 ? pack_rows_of(source, static_cast<const bf16*>(source.data), packed)
                 : pack_rows_of(source, static_cast<const float*>(source.data), packed);
}

// A 16 x 16 matrix of 32-bit words, transposed from one place (aligned to 64 bytes) to another.
OPENCLOC_INLINE void transpose_words(const uint32_t* from, uint32_t* to) {
#if defined(__AVX512F__)
  // Quarter rows 4 apart are gathered from memory; two rounds of interleaving do the rest.
  __m512i r[16], t[16];
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) {
      const uint32_t* quarter = from + 16 * i + 4 * j;  // of rows i, i + 4, i + 8, i + 12
      __m512i row = _mm512_castsi128_si512(_mm_load_si128((const __m128i*)quarter));
      row = _mm512_inserti32x4(row, _mm_load_si128((const __m128i*)(quarter + 4 * 16)), 1);
      row = _mm512_inserti32x4(row, _mm_load_si128((const __m128i*)(quarter + 8 * 16)), 2);
      r[4 * j + i] =
          _mm512_inserti32x4(row, _mm_load_si128((const __m128i*)(quarter + 12 * 16)), 3);
    }
  }
  for (int j = 0; j < 16; j += 4) {  // columns j .. j + 3
    t[j] = _mm512_unpacklo_epi32(r[j], r[j + 1]);
    t[j + 1] = _mm512_unpackhi_epi32(r[j], r[j + 1]);
    t[j + 2] = _mm512_unpacklo_epi32(r[j + 2], r[j + 3]);
    t[j + 3] = _mm512_unpackhi_epi32(r[j + 2], r[j + 3]);
    _mm512_store_si512(to + 16 * j, _mm512_unpacklo_epi64(t[j], t[j + 2]));
    _mm512_store_si512(to + 16 * (j + 1), _mm512_unpackhi_epi64(t[j], t[j + 2]));
    _mm512_store_si512(to + 16 * (j + 2), _mm512_unpacklo_epi64(t[j + 1], t[j + 3]));
    _mm512_store_si512(to + 16 * (j + 3), _mm512_unpackhi_epi64(t[j + 1], t[j + 3]));
  }
#else
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 16; ++j) to[16 * j + i] = from[16 * i + j];
  }
#endif
}

// Two rows' elements side by side: word i = (even[i], odd[i]).
OPENCLOC_INLINE UintVec interleave(HalfVec even, HalfVec odd) {
  return __builtin_convertvector(even, UintVec) | (__builtin_convertvector(odd, UintVec) << 16);
}

// kWidth columns of two rows, rounded and side by side.
OPENCLOC_INLINE UintVec pair_rows(const float* even, const float* odd) {
#if defined(__AVX512BF16__)
  const __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)load(odd), (__m512)load(even));
  const HalfVec32 order = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                           8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return (UintVec)_mm512_permutexvar_epi16((__m512i)order, both);
#else
  return interleave(to_bf16(load(even)), to_bf16(load(odd)));
#endif
}
OPENCLOC_INLINE UintVec pair_rows(const bf16* even, const bf16* odd) {
  return interleave(load_half(even), load_half(odd));
}
OPENCLOC_INLINE Vec row_values(const float* row) { return load(row); }
OPENCLOC_INLINE Vec row_values(const bf16* row) { return from_bf16(load_half(row)); }

// 32 depth rows x 16 columns -> one tile of pairs.
template <class T>
OPENCLOC_INLINE void pair_tile(const PackSource& source, const T* data, int64_t depth0,
                               int64_t column0, float* sums, uint32_t* tile) {
  const int64_t depth_left = source.depth - depth0, columns = source.side;
  if (depth_left >= 32 && column0 + 16 <= columns) {  // whole: no edge tests inside
    const T* row = data + depth0 * source.stride + column0;
    Vec totals[16 / kWidth] = {};
    for (int r = 0; r < 16; ++r, row += 2 * source.stride) {
      for (int i = 0; i < 16; i += kWidth) {
        const T *even = row + i, *odd = even + source.stride;
        const UintVec pairs = pair_rows(even, odd);
        __builtin_memcpy(tile + 16 * r + i, &pairs, sizeof pairs);
        if (sums != nullptr) totals[i / kWidth] += row_values(even) + row_values(odd);
      }
    }
    if (sums != nullptr) {
      for (int i = 0; i < 16; i += kWidth) {
        store(sums + column0 + i, load(sums + column0 + i) + totals[i / kWidth]);
      }
    }
    return;
  }
  for (int64_t r = 0; r < 16; ++r) {
    for (int64_t i = 0; i < 16; i += kWidth) {
      Loaded rows[2] = {Loaded{HalfVec{}, Vec{}}, Loaded{HalfVec{}, Vec{}}};
      for (int64_t odd = 0; odd < 2; ++odd) {
        if (2 * r + odd >= depth_left) continue;
        rows[odd] = loaded_at(data + (depth0 + 2 * r + odd) * source.stride, column0 + i, columns);
      }
      const UintVec pairs = interleave(rows[0].half, rows[1].half);
      __builtin_memcpy(tile + 16 * r + i, &pairs, sizeof pairs);
      if (sums == nullptr) continue;
      const Vec both = rows[0].value + rows[1].value;
      for (int64_t c = 0; c < kWidth && column0 + i + c < columns; ++c) {
        sums[column0 + i + c] += both[c];
      }
    }
  }
}

template <class T>
void pack_columns_of(const PackSource& source, const T* data, TileSide side, float* sums,
                     bf16* packed) {
  const int64_t depth_blocks = (source.depth + 31) / 32, side_blocks = (source.side + 31) / 32;
  for (int64_t b = 0; b < depth_blocks; ++b) {
    for (int64_t s = 0; s < 2 * side_blocks; ++s) {
      bf16* to = packed + ((s / 2 * depth_blocks + b) * 2 + s % 2) * kTile;
      auto* words = reinterpret_cast<uint32_t*>(to);
      if (side == TileSide::kLeft) {
        uint32_t tile[256] __attribute__((aligned(64)));
        pair_tile(source, data, b * 32, s * 16, sums, tile);
        transpose_words(tile, words);
      } else {
        pair_tile(source, data, b * 32, s * 16, sums, words);
      }
    }
  }
}
void pack_columns(const PackSource& source, TileSide side, float* sums, bf16* packed) {
  source.is_bf16
      ? pack_columns_of(source, static_cast<const bf16*>(source.data), side, sums, packed)
      : pack_columns_of(source, static_cast<const float*>(source.data), side, sums, packed);
}

// A left tile becomes the right tile of its transpose.
void transpose_tile(bf16* tile) {
  uint32_t words[256] __attribute__((aligned(64)));
  __builtin_memcpy(words, tile, sizeof words);
  transpose_words(words, reinterpret_cast<uint32_t*>(tile));
}

#if !defined(OPENCLOC_TILE_REGISTERS)
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

// kRows rows of c from row0, one strip of columns.
template <int kRows>
OPENCLOC_INLINE void block_strip(int64_t depth_blocks, const bf16* a, const bf16* b, float* c,
                                 int64_t row0, int64_t column0, bool accumulate) {
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
        columns[v] = column_pairs(b + at / 16 * kTile + pair * 32 + at % 16 * 2);
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

// The same with vectors in place of tile registers.
void block(int64_t depth_blocks, const bf16* a, const bf16* b, float* c, bool accumulate) {
  constexpr int kRows = kWidth == 16 ? 8 : 4;
  for (int64_t column = 0; column < 32; column += kStripVecs * kWidth) {
    for (int64_t row = 0; row < 32; row += kRows) {
      block_strip<kRows>(depth_blocks, a, b, c, row, column, accumulate);
    }
  }
}
#endif

// ---- what is done to a finished block c [32, 32] ----

// GELU to the accuracy of bf16, without an exponential or a division: x P(x^2) is fitted to
// cumulative(x) - 1/2 (error 2e-5) and to gelu'(x) - 1/2 (error 3e-4) on [-4.5, 4.5]; beyond, they
// are -1/2 and 1/2.
OPENCLOC_INLINE Vec odd_polynomial(const float (&coefficients)[10], Vec x) {
  const Vec edge = max(min(x, splat(4.5f)), splat(-4.5f)), square = edge * edge;
  Vec p = splat(coefficients[9]);
  for (int i = 8; i >= 0; --i) p = p * square + coefficients[i];
  const Vec inside = p * edge;
  return select(x > 4.5f, splat(0.5f), select(x < -4.5f, splat(-0.5f), inside));
}
constexpr float kCumulative[10] = {
    3.989246725e-01f,  -6.642068082e-02f, 9.891774232e-03f,  -1.142715196e-03f, 1.017340567e-04f,
    -6.813723782e-06f, 3.278918610e-07f,  -1.056707972e-08f, 2.022433863e-10f,  -1.726321969e-12f};
constexpr float kDerivative[10] = {
    7.976261451e-01f,  -2.649256827e-01f, 5.860930780e-02f,  -8.815861932e-03f, 9.405428280e-04f,
    -7.122209897e-05f, 3.721946805e-06f,  -1.268059255e-07f, 2.521333133e-09f,  -2.210817773e-11f};
template <Gelu kKind>
OPENCLOC_INLINE Vec coarse_gelu(Vec x) {
  if constexpr (kKind == Gelu::kErf) return x * (odd_polynomial(kCumulative, x) + 0.5f);
  return gelu<kKind>(x);
}
template <Gelu kKind>
OPENCLOC_INLINE Vec coarse_gelu_derivative(Vec x) {
  if constexpr (kKind == Gelu::kErf) return odd_polynomial(kDerivative, x) + 0.5f;
  return gelu_derivative<kKind>(x);
}

// y = c + bias, F32.
void finish_bias(const BlockPlace& at, const float* c, const float* bias, float* y) {
  if (at.columns == 32) {
    Vec add[32 / kWidth] = {};
    for (int i = 0; bias != nullptr && i < 32; i += kWidth) add[i / kWidth] = load(bias + i);
    for (int64_t r = 0; r < at.rows; ++r, c += 32, y += at.stride) {
      for (int i = 0; i < 32; i += kWidth) store(y + i, load(c + i) + add[i / kWidth]);
    }
    return;
  }
  for (int64_t r = 0; r < at.rows; ++r, c += 32, y += at.stride) {
    for (int64_t i = 0; i < at.columns; ++i) y[i] = c[i] + (bias == nullptr ? 0.0f : bias[i]);
  }
}

// A block of bf16 rows, also laid into the left tiles (2 x [16, 32]) of the next product.
OPENCLOC_INLINE void put(HalfVec v, int64_t r, int64_t i, bf16* tiles) {
  store_half(tiles + r / 16 * kTile + r % 16 * 32 + i, v);
}
OPENCLOC_INLINE void put(HalfVec v, int64_t i, const BlockPlace& at, bf16* row) {
  if (i + kWidth <= at.columns) return store_half(row + i, v);
  for (int64_t j = 0; j < kWidth && i + j < at.columns; ++j) row[i + j] = v[j];
}

// z = bf16(c + bias); tiles = bf16(gelu(z)), zeros outside. z may be null: not kept.
template <Gelu kKind>
void finish_gelu_of(const BlockPlace& at, const float* c, const float* bias, bf16* z, bf16* tiles) {
  for (int64_t r = 0; r < 32; ++r, c += 32) {
    for (int64_t i = 0; i < 32; i += kWidth) {
      if (r >= at.rows || i >= at.columns) {
        put(HalfVec{}, r, i, tiles);
        continue;
      }
      const bool whole = i + kWidth <= at.columns;
      const Vec b = whole ? load(bias + i) : load_part(bias + i, at.columns - i);
      const HalfVec rounded = to_bf16(load(c + i) + b);
      if (z != nullptr) put(rounded, i, at, z + r * at.stride);
      put(to_bf16(coarse_gelu<kKind>(from_bf16(rounded))), r, i, tiles);
    }
  }
}
void finish_gelu(Gelu kind, const BlockPlace& at, const float* c, const float* bias, bf16* z,
                 bf16* tiles) {
  kind == Gelu::kErf ? finish_gelu_of<Gelu::kErf>(at, c, bias, z, tiles)
                     : finish_gelu_of<Gelu::kQuick>(at, c, bias, z, tiles);
}

// dz = bf16(c gelu'(z)), also as tiles; h = bf16(gelu(z)). z, dz, h have one layout.
template <Gelu kKind>
void finish_gelu_backward_of(const BlockPlace& at, const float* c, const bf16* z, bf16* dz, bf16* h,
                             bf16* tiles) {
  for (int64_t r = 0; r < 32; ++r, c += 32) {
    for (int64_t i = 0; i < 32; i += kWidth) {
      if (r >= at.rows || i >= at.columns) {
        put(HalfVec{}, r, i, tiles);
        continue;
      }
      const int64_t row = r * at.stride;
      const Vec x = from_bf16(half_at(z + row, i, at.columns));
      const HalfVec gradient = to_bf16(load(c + i) * coarse_gelu_derivative<kKind>(x));
      put(gradient, i, at, dz + row);
      put(gradient, r, i, tiles);
      put(to_bf16(coarse_gelu<kKind>(x)), i, at, h + row);
    }
  }
}
void finish_gelu_backward(Gelu kind, const BlockPlace& at, const float* c, const bf16* z, bf16* dz,
                          bf16* h, bf16* tiles) {
  kind == Gelu::kErf ? finish_gelu_backward_of<Gelu::kErf>(at, c, z, dz, h, tiles)
                     : finish_gelu_backward_of<Gelu::kQuick>(at, c, z, dz, h, tiles);
}

}  // namespace
}  // namespace opencloc::kernels

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

// A 16 x 16 matrix of 32-bit words, transposed in place.
OPENCLOC_INLINE void transpose_words(uint32_t* w) {
#if defined(__AVX512F__)
  // Interleave rows 8, then 4, 2 and 1 apart: four rounds make the transpose.
  __m512i r[16], t[16];
  for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_si512(w + 16 * i);
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  }
  for (int i = 0; i < 4; ++i) {
    r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 8; ++i) {
    _mm512_storeu_si512(w + 16 * i, _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88));
    _mm512_storeu_si512(w + 16 * (i + 8), _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd));
  }
#else
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < i; ++j) {
      const uint32_t word = w[16 * i + j];
      w[16 * i + j] = w[16 * j + i];
      w[16 * j + i] = word;
    }
  }
#endif
}

// Two rows' elements side by side: word i = (even[i], odd[i]).
OPENCLOC_INLINE UintVec interleave(HalfVec even, HalfVec odd) {
  return __builtin_convertvector(even, UintVec) | (__builtin_convertvector(odd, UintVec) << 16);
}

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
        const Loaded even = loaded_at(row, i, 16), odd = loaded_at(row + source.stride, i, 16);
        const UintVec pairs = interleave(even.half, odd.half);
        __builtin_memcpy(tile + 16 * r + i, &pairs, sizeof pairs);
        if (sums != nullptr) totals[i / kWidth] += even.value + odd.value;
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
      uint32_t tile[256] __attribute__((aligned(64)));
      pair_tile(source, data, b * 32, s * 16, sums, tile);
      if (side == TileSide::kLeft) transpose_words(tile);
      __builtin_memcpy(to, tile, sizeof tile);
    }
  }
}
void pack_columns(const PackSource& source, TileSide side, float* sums, bf16* packed) {
  source.is_bf16
      ? pack_columns_of(source, static_cast<const bf16*>(source.data), side, sums, packed)
      : pack_columns_of(source, static_cast<const float*>(source.data), side, sums, packed);
}

// Left tiles [16 rows, 32] become right tiles of their transpose, and the other way round.
void transpose_tile(bf16* tile) { transpose_words(reinterpret_cast<uint32_t*>(tile)); }

#if !defined(__AMX_TILE__)
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

// y = c + bias, F32.
void finish_bias(const BlockPlace& at, const float* c, const float* bias, float* y) {
  for (int64_t r = 0; r < at.rows; ++r, c += 32, y += at.stride) {
    int64_t i = 0;
    for (; i + kWidth <= at.columns; i += kWidth) {
      const Vec v = load(c + i);
      store(y + i, bias == nullptr ? v : v + load(bias + i));
    }
    for (; i < at.columns; ++i) y[i] = c[i] + (bias == nullptr ? 0.0f : bias[i]);
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
      put(to_bf16(gelu<kKind>(from_bf16(rounded))), r, i, tiles);
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
      const HalfVec gradient = to_bf16(load(c + i) * gelu_derivative<kKind>(x));
      put(gradient, i, at, dz + row);
      put(gradient, r, i, tiles);
      put(to_bf16(gelu<kKind>(x)), i, at, h + row);
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

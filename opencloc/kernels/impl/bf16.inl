// bfloat16: conversion and packing into tiles. The tile formats are described in packed_bf16.h.
#pragma once

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "opencloc/kernels/isa/kernel_table.h"
#include "opencloc/kernels/isa/vec.h"

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

// A 16 x 16 matrix of 32-bit words, transposed from one place to another (both aligned to 64
// bytes).
template <int kFromStride = 16, int kToStride = 16>
OPENCLOC_INLINE void transpose_words(const uint32_t* from, uint32_t* to) {
#if defined(__AVX512F__)
  // Quarter rows 4 apart are gathered from memory; two rounds of interleaving do the rest.
  __m512i r[16], t[16];
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) {
      const uint32_t* quarter = from + kFromStride * i + 4 * j;  // of rows i, i + 4, i + 8, i + 12
      __m512i row = _mm512_castsi128_si512(_mm_load_si128((const __m128i*)quarter));
      row = _mm512_inserti32x4(row, _mm_load_si128((const __m128i*)(quarter + 4 * kFromStride)), 1);
      row = _mm512_inserti32x4(row, _mm_load_si128((const __m128i*)(quarter + 8 * kFromStride)), 2);
      r[4 * j + i] =
          _mm512_inserti32x4(row, _mm_load_si128((const __m128i*)(quarter + 12 * kFromStride)), 3);
    }
  }
  for (int j = 0; j < 16; j += 4) {  // columns j .. j + 3
    t[j] = _mm512_unpacklo_epi32(r[j], r[j + 1]);
    t[j + 1] = _mm512_unpackhi_epi32(r[j], r[j + 1]);
    t[j + 2] = _mm512_unpacklo_epi32(r[j + 2], r[j + 3]);
    t[j + 3] = _mm512_unpackhi_epi32(r[j + 2], r[j + 3]);
    _mm512_store_si512(to + kToStride * j, _mm512_unpacklo_epi64(t[j], t[j + 2]));
    _mm512_store_si512(to + kToStride * (j + 1), _mm512_unpackhi_epi64(t[j], t[j + 2]));
    _mm512_store_si512(to + kToStride * (j + 2), _mm512_unpacklo_epi64(t[j + 1], t[j + 3]));
    _mm512_store_si512(to + kToStride * (j + 3), _mm512_unpackhi_epi64(t[j + 1], t[j + 3]));
  }
#else
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 16; ++j) to[kToStride * j + i] = from[kFromStride * i + j];
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

}  // namespace
}  // namespace opencloc::kernels

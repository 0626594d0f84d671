// Quantising rows, and what becomes of a finished block of sums. Formats in packed_int8.h.
#pragma once

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "opencloc/kernels/impl/finish.inl"
#include "opencloc/kernels/isa/kernel_table.h"
#include "opencloc/kernels/isa/vec.h"

namespace opencloc::kernels {
namespace {

typedef uint8_t ByteVec __attribute__((vector_size(kWidth)));

// To the nearest integer, halves to even: an instruction of its own, since adding a large number
// could be fused with the multiplication before it on some instruction sets and round differently.
OPENCLOC_INLINE IntVec to_nearest(Vec x) {
#if defined(__AVX512F__)
  return (IntVec)_mm512_cvtps_epi32((__m512)x);
#elif defined(__AVX2__)
  return (IntVec)_mm256_cvtps_epi32((__m256)x);
#elif defined(__SSE2__)
  return (IntVec)_mm_cvtps_epi32((__m128)x);
#else
  IntVec result;
  for (int i = 0; i < kWidth; ++i) result[i] = static_cast<int32_t>(__builtin_rintf(x[i]));
  return result;
#endif
}

struct Range {
  float low, high;
  float poison;  // 0, or NaN when a value is not finite
};
OPENCLOC_INLINE Range range_of(int64_t n, const float* x) {
  Vec low = splat(n > 0 ? x[0] : 0.0f), high = low, poison{};
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    const Vec v = load(x + i);
    low = min(low, v);
    high = max(high, v);
    poison += v * 0.0f;
  }
  Range range{-largest(-low), largest(high), sum(poison)};
  for (; i < n; ++i) {
    range.low = x[i] < range.low ? x[i] : range.low;
    range.high = x[i] > range.high ? x[i] : range.high;
    range.poison += x[i] * 0.0f;
  }
  return range;
}

OPENCLOC_INLINE void quantize(Vec x, float low, float inverse, uint8_t* to) {
  IntVec q = to_nearest((x - low) * inverse);
  q = q < 0 ? IntVec{} : q;  // what NaN became
  q = q > 255 ? IntVec{} + 255 : q;
  const ByteVec bytes = __builtin_convertvector(q, ByteVec);
  __builtin_memcpy(to, &bytes, sizeof bytes);
}

void quantize_rows(int64_t rows, int64_t depth, const float* x, uint8_t* packed, float* scale,
                   float* offset) {
  const int64_t steps = (depth + 63) / 64;
  for (int64_t r = 0; r < 32; ++r) {
    uint8_t* to = packed + r / 16 * kTileBytes + r % 16 * 64;
    if (r >= rows) {
      scale[r] = offset[r] = 0;
      for (int64_t s = 0; s < steps; ++s) __builtin_memset(to + s * 2 * kTileBytes, 0, 64);
      continue;
    }
    const float* row = x + r * depth;
    const Range range = range_of(depth, row);
    const float width = range.high - range.low, inverse = width > 0 ? 255.0f / width : 0.0f;
    scale[r] = width / 255.0f + range.poison;
    offset[r] = range.low;
    for (int64_t s = 0; s < steps; ++s, to += 2 * kTileBytes) {
      for (int64_t i = 0; i < 64; i += kWidth) {
        const int64_t at = s * 64 + i;
        if (at + kWidth <= depth) {
          quantize(load(row + at), range.low, inverse, to + i);
        } else if (at < depth) {
          quantize(load_part(row + at, depth - at), range.low, inverse, to + i);
        } else {
          __builtin_memset(to + i, 0, kWidth);
        }
      }
    }
  }
}

// f(numbers of kWidth columns) for a whole or cut block, row by row, stored to y.
template <class F>
OPENCLOC_INLINE void finish_int8_with(const BlockPlace& at, const int32_t* c, const Int8Scales& s,
                                      float* y, const F& f) {
  for (int64_t i = 0; i < at.columns; i += kWidth) {
    const int64_t left = at.columns - i;
    const bool whole = left >= kWidth;
    const auto part = [&](const float* p) { return whole ? load(p + i) : load_part(p + i, left); };
    const Vec column_scale = part(s.column_scale), column_sum = part(s.column_sum);
    const Vec bias = s.bias == nullptr ? Vec{} : part(s.bias);
    for (int64_t r = 0; r < at.rows; ++r) {
      IntVec sums;
      __builtin_memcpy(&sums, c + r * 32 + i, sizeof sums);
      const Vec scaled = __builtin_convertvector(sums, Vec) * (column_scale * s.row_scale[r]);
      const Vec value = f(scaled + (column_sum * s.row_offset[r] + bias));
      float* to = y + r * at.stride + i;
      whole ? store(to, value) : store_part(to, value, left);
    }
  }
}

void finish_int8(const BlockPlace& at, const int32_t* c, const Int8Scales& scales, float* y) {
  finish_int8_with(at, c, scales, y, [](Vec v) { return v; });
}
void finish_int8_gelu(Gelu kind, const BlockPlace& at, const int32_t* c, const Int8Scales& scales,
                      float* y) {
  with_kind(kind, [&](auto k) {
    finish_int8_with(at, c, scales, y, [](Vec v) { return coarse_gelu<decltype(k)::value>(v); });
  });
}

}  // namespace
}  // namespace opencloc::kernels

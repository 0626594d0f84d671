// Vectors of F32 for the loops in impl/: the widest registers of the instruction set the including
// table_*.cc is compiled for. Everything lives in an anonymous namespace, and nothing of the
// standard library is used: an inline function shared with the rest of the program could otherwise
// be linked in the version for the wrong processor.
#pragma once

#include <stdint.h>

namespace opencloc::kernels {
namespace {

#if defined(__AVX512F__)
constexpr int kWidth = 16;
constexpr int kTileRows = 6, kTileVecs = 4;  // accumulators of a matrix product: 24 of 32 registers
#elif defined(__AVX2__)
constexpr int kWidth = 8;
constexpr int kTileRows = 6, kTileVecs = 2;  // 12 of 16
#else
constexpr int kWidth = 4;
constexpr int kTileRows = 4, kTileVecs = 2;  // 8 of 16
#endif

typedef float Vec __attribute__((vector_size(kWidth * 4)));
typedef int32_t IntVec __attribute__((vector_size(kWidth * 4)));

#define OPENCLOC_INLINE inline __attribute__((always_inline))

OPENCLOC_INLINE Vec load(const float* p) {
  Vec v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
OPENCLOC_INLINE void store(float* p, Vec v) { __builtin_memcpy(p, &v, sizeof v); }
OPENCLOC_INLINE Vec splat(float x) { return x - Vec{}; }

// The first n < kWidth elements; the rest are 0 and are not stored.
OPENCLOC_INLINE Vec load_part(const float* p, int64_t n) {
  float lanes[kWidth] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i] = p[i];
  return load(lanes);
}
OPENCLOC_INLINE void store_part(float* p, Vec v, int64_t n) {
  for (int64_t i = 0; i < n; ++i) p[i] = v[i];
}

OPENCLOC_INLINE Vec select(IntVec condition, Vec yes, Vec no) { return condition ? yes : no; }
// NaN in `a` stays.
OPENCLOC_INLINE Vec max(Vec a, Vec b) { return select(a < b, b, a); }
OPENCLOC_INLINE Vec min(Vec a, Vec b) { return select(a > b, b, a); }
OPENCLOC_INLINE Vec abs(Vec a) { return (Vec)((IntVec)a & 0x7fffffff); }

OPENCLOC_INLINE float sum(Vec v) {
  for (int half = kWidth / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) v[i] += v[i + half];
  }
  return v[0];
}
OPENCLOC_INLINE float largest(Vec v) {
  float best = v[0];
  for (int i = 1; i < kWidth; ++i) best = v[i] > best ? v[i] : best;
  return best;
}

// e^x within 2 units in the last place; 0 below -87.3, NaN stays NaN.
OPENCLOC_INLINE Vec exp(Vec x) {
  const Vec clamped = max(min(x, splat(88.0f)), splat(-87.3f));
  const float magic = 12582912.0f;                    // 1.5 * 2^23: adding it rounds to an integer
  const Vec shifted = clamped * 1.44269504f + magic;  // x / ln 2
  const Vec n = shifted - magic;
  const Vec r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;  // x - n ln 2, in two parts
  Vec p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const IntVec exponent = (((IntVec)shifted - 0x4b400000) + 127) << 23;
  return select(x < -87.3f, Vec{}, p * (Vec)exponent);
}

// The same to the accuracy of bf16 (3e-6).
OPENCLOC_INLINE Vec coarse_exp(Vec x) {
  const Vec scaled = max(min(x * 1.44269504f, splat(126.0f)), splat(-126.0f));
  const float magic = 12582912.0f;
  const Vec shifted = scaled + magic;
  const Vec f = scaled - (shifted - magic);
  Vec p = f * 9.570228517e-3f + 5.591787519e-2f;
  p = p * f + 2.402474175e-1f;
  p = p * f + 6.931218120e-1f;
  p = p * f + 9.999992623e-1f;
  const IntVec exponent = (((IntVec)shifted - 0x4b400000) + 127) << 23;
  return select(x < -87.3f, Vec{}, p * (Vec)exponent);
}

}  // namespace
}  // namespace opencloc::kernels

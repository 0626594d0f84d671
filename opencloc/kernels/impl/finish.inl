// What is done to a finished block c [32, 32] of a bf16 product.
#pragma once

#include "opencloc/kernels/impl/bf16.inl"
#include "opencloc/kernels/impl/gelu.inl"

namespace opencloc::kernels {
namespace {

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
  with_kind(kind, [&](auto k) { finish_gelu_of<decltype(k)::value>(at, c, bias, z, tiles); });
}

// z = bf16(c + bias) (may be null: not kept); sums [columns] += gelu(z) of every row.
template <Gelu kKind>
void finish_gelu_sums_of(const BlockPlace& at, const float* c, const float* bias, bf16* z,
                         float* sums) {
  for (int64_t i = 0; i < at.columns; i += kWidth) {
    const int64_t left = at.columns - i;
    const Vec b = left >= kWidth ? load(bias + i) : load_part(bias + i, left);
    Vec total = left >= kWidth ? load(sums + i) : load_part(sums + i, left);
    for (int64_t r = 0; r < at.rows; ++r) {
      const HalfVec rounded = to_bf16(load(c + r * 32 + i) + b);
      if (z != nullptr) put(rounded, i, at, z + r * at.stride);
      total += coarse_gelu<kKind>(from_bf16(rounded));
    }
    if (left >= kWidth) {
      store(sums + i, total);
    } else {
      store_part(sums + i, total, left);
    }
  }
}
void finish_gelu_sums(Gelu kind, const BlockPlace& at, const float* c, const float* bias, bf16* z,
                      float* sums) {
  with_kind(kind, [&](auto k) { finish_gelu_sums_of<decltype(k)::value>(at, c, bias, z, sums); });
}

// dz [rows, width] = bf16(gradient [width] gelu'(z)).
template <Gelu kKind>
void gelu_backward_rows_of(int64_t rows, int64_t width, const bf16* z, const float* gradient,
                           bf16* dz) {
  const BlockPlace at{rows, width, width};
  for (int64_t r = 0; r < rows; ++r, z += width, dz += width) {
    for (int64_t i = 0; i < width; i += kWidth) {
      const int64_t left = width - i;
      const Vec g = left >= kWidth ? load(gradient + i) : load_part(gradient + i, left);
      put(to_bf16(g * coarse_gelu_derivative<kKind>(from_bf16(half_at(z, i, width)))), i, at, dz);
    }
  }
}
void gelu_backward_rows(Gelu kind, int64_t rows, int64_t width, const bf16* z,
                        const float* gradient, bf16* dz) {
  with_kind(kind, [&](auto k) {
    gelu_backward_rows_of<decltype(k)::value>(rows, width, z, gradient, dz);
  });
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
  with_kind(kind,
            [&](auto k) { finish_gelu_backward_of<decltype(k)::value>(at, c, z, dz, h, tiles); });
}

}  // namespace
}  // namespace opencloc::kernels

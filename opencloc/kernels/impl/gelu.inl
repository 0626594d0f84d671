// GELU, its derivative, bias and column sums.
#pragma once

#include "opencloc/kernels/isa/kernel_table.h"
#include "opencloc/kernels/isa/vec.h"

namespace opencloc::kernels {
namespace {

// The normal distribution's cumulative and density at x; absolute error 1e-7 (Abramowitz and Stegun
// 7.1.26).
struct Normal {
  Vec cumulative, density_root;  // density_root = e^(-x^2/2)
};
OPENCLOC_INLINE Normal normal(Vec x) {
  const Vec z = abs(x) * 0.70710678118f;
  const Vec t = 1.0f / (z * 0.3275911f + 1.0f);
  Vec p = t * 1.061405429f - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const Vec e = exp(-z * z);
  const Vec tail = p * t * e * 0.5f;  // P(X > |x|)
  return {select(x < 0.0f, tail, 1.0f - tail), e};
}

// 0 where the exponential would overflow.
OPENCLOC_INLINE Vec sigmoid(Vec x) { return select(x < -87.0f, Vec{}, 1.0f / (1.0f + exp(-x))); }

// kTanh's 2 u and its derivative.
OPENCLOC_INLINE Vec twice_u(Vec x) { return x * 1.5957691216f * (x * x * 0.044715f + 1.0f); }
OPENCLOC_INLINE Vec twice_u_derivative(Vec x) { return (x * x * 0.134145f + 1.0f) * 1.5957691216f; }

template <Gelu kKind>
OPENCLOC_INLINE Vec gelu(Vec x) {
  if constexpr (kKind == Gelu::kErf) {
    return x * normal(x).cumulative;
  } else if constexpr (kKind == Gelu::kTanh) {
    return x * sigmoid(twice_u(x));
  } else {
    return x * sigmoid(x * 1.702f);
  }
}

template <Gelu kKind>
OPENCLOC_INLINE Vec gelu_derivative(Vec x) {
  if constexpr (kKind == Gelu::kErf) {
    const Normal n = normal(x);
    return n.cumulative + x * n.density_root * 0.39894228f;  // 1 / sqrt(2 pi)
  } else if constexpr (kKind == Gelu::kTanh) {
    const Vec s = sigmoid(twice_u(x));
    return s + x * s * (1.0f - s) * twice_u_derivative(x);
  } else {
    const Vec s = sigmoid(x * 1.702f);
    return s + x * 1.702f * s * (1.0f - s);
  }
}

// f with the kind as a type, whose `value` is a constant.
template <Gelu kKind>
struct KindOf {
  static constexpr Gelu value = kKind;
};
template <typename F>
OPENCLOC_INLINE void with_kind(Gelu kind, const F& f) {
  switch (kind) {
    case Gelu::kErf:
      return f(KindOf<Gelu::kErf>{});
    case Gelu::kQuick:
      return f(KindOf<Gelu::kQuick>{});
    case Gelu::kTanh:
      return f(KindOf<Gelu::kTanh>{});
  }
}

// y[i] = f(x[i], ...) vector by vector, the rest padded.
template <Gelu kKind>
void gelu_forward_of(int64_t n, const float* x, float* y) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(y + i, gelu<kKind>(load(x + i)));
  if (i < n) store_part(y + i, gelu<kKind>(load_part(x + i, n - i)), n - i);
}
template <Gelu kKind>
void gelu_backward_of(int64_t n, const float* x, const float* dy, float* dx) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    store(dx + i, load(dy + i) * gelu_derivative<kKind>(load(x + i)));
  }
  if (i < n) {
    const Vec d = gelu_derivative<kKind>(load_part(x + i, n - i));
    store_part(dx + i, load_part(dy + i, n - i) * d, n - i);
  }
}
template <Gelu kKind>
void bias_gelu_of(int64_t rows, int64_t width, const float* bias, float* z, float* y) {
  for (int64_t row = 0; row < rows; ++row, z += width, y += width) {
    int64_t i = 0;
    for (; i + kWidth <= width; i += kWidth) {
      const Vec v = load(z + i) + load(bias + i);
      store(z + i, v);
      store(y + i, gelu<kKind>(v));
    }
    if (i < width) {
      const Vec v = load_part(z + i, width - i) + load_part(bias + i, width - i);
      store_part(z + i, v, width - i);
      store_part(y + i, gelu<kKind>(v), width - i);
    }
  }
}

void gelu_forward_range(Gelu kind, int64_t n, const float* x, float* y) {
  with_kind(kind, [&](auto k) { gelu_forward_of<decltype(k)::value>(n, x, y); });
}
void gelu_backward_range(Gelu kind, int64_t n, const float* x, const float* dy, float* dx) {
  with_kind(kind, [&](auto k) { gelu_backward_of<decltype(k)::value>(n, x, dy, dx); });
}
void bias_gelu_range(Gelu kind, int64_t rows, int64_t width, const float* bias, float* z,
                     float* y) {
  if (bias == nullptr) return gelu_forward_range(kind, rows * width, z, y);
  with_kind(kind, [&](auto k) { bias_gelu_of<decltype(k)::value>(rows, width, bias, z, y); });
}

void add_bias_range(int64_t rows, int64_t width, const float* bias, float* y) {
  for (int64_t row = 0; row < rows; ++row, y += width) {
    for (int64_t i = 0; i < width; ++i) y[i] += bias[i];
  }
}

void column_sums_range(int64_t rows, int64_t width, const float* x, float* sums) {
  for (int64_t i = 0; i < width; ++i) sums[i] = 0;
  for (int64_t row = 0; row < rows; ++row, x += width) {
    for (int64_t i = 0; i < width; ++i) sums[i] += x[i];
  }
}

}  // namespace
}  // namespace opencloc::kernels

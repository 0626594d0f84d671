// Layer norm of a range of rows.
#pragma once

#include "opencloc/kernels/isa/kernel_table.h"
#include "opencloc/kernels/isa/vec.h"

namespace opencloc::kernels {
namespace {

OPENCLOC_INLINE float row_sum(int64_t width, const float* x) {
  Vec total{};
  int64_t i = 0;
  for (; i + kWidth <= width; i += kWidth) total += load(x + i);
  if (i < width) total += load_part(x + i, width - i);
  return sum(total);
}

OPENCLOC_INLINE float row_variance_sum(int64_t width, const float* x, float mean) {
  Vec total{};
  int64_t i = 0;
  for (; i + kWidth <= width; i += kWidth) {
    const Vec d = load(x + i) - mean;
    total += d * d;
  }
  float result = sum(total);
  for (; i < width; ++i) result += (x[i] - mean) * (x[i] - mean);
  return result;
}

void layer_norm_forward_range(int64_t rows, int64_t width, const float* x, const float* weight,
                              const float* bias, float epsilon, float* y, float* mean,
                              float* rstd) {
  for (int64_t row = 0; row < rows; ++row, x += width, y += width) {
    const float m = row_sum(width, x) / static_cast<float>(width);
    const float variance = row_variance_sum(width, x, m) / static_cast<float>(width);
    const float r = 1.0f / __builtin_sqrtf(variance + epsilon);
    mean[row] = m;
    rstd[row] = r;
    for (int64_t i = 0; i < width; ++i) y[i] = (x[i] - m) * r * weight[i] + bias[i];
  }
}

// With xhat = (x - mean) rstd and g = dy weight:
// dx = rstd (g - mean(g) - xhat mean(g xhat)), plus `beside` unless it is null.
void layer_norm_backward_range(int64_t rows, int64_t width, const float* x, const float* mean,
                               const float* rstd, const float* weight, const float* dy,
                               const float* beside, float* dx, float* dweight, float* dbias) {
  for (int64_t i = 0; i < width; ++i) dweight[i] = dbias[i] = 0;
  for (int64_t row = 0; row < rows; ++row, x += width, dy += width, dx += width) {
    const float m = mean[row], r = rstd[row];
    Vec g_total{}, gx_total{};
    int64_t i = 0;
    for (; i + kWidth <= width; i += kWidth) {
      const Vec xhat = (load(x + i) - m) * r, d = load(dy + i), g = d * load(weight + i);
      g_total += g;
      gx_total += g * xhat;
      store(dweight + i, load(dweight + i) + d * xhat);
      store(dbias + i, load(dbias + i) + d);
    }
    float g_sum = sum(g_total), gx_sum = sum(gx_total);
    for (; i < width; ++i) {
      const float xhat = (x[i] - m) * r, g = dy[i] * weight[i];
      g_sum += g;
      gx_sum += g * xhat;
      dweight[i] += dy[i] * xhat;
      dbias[i] += dy[i];
    }
    const float g_mean = g_sum / static_cast<float>(width);
    const float gx_mean = gx_sum / static_cast<float>(width);
    for (int64_t j = 0; j < width; ++j) {
      const float xhat = (x[j] - m) * r;
      dx[j] = r * (dy[j] * weight[j] - g_mean - xhat * gx_mean);
    }
    if (beside == nullptr) continue;
    for (int64_t j = 0; j < width; ++j) dx[j] += beside[j];
    beside += width;
  }
}

}  // namespace
}  // namespace opencloc::kernels

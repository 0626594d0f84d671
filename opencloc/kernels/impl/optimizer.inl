// AdamW and sums of squares over a range of elements.
#pragma once

#include "opencloc/kernels/isa/kernel_table.h"
#include "opencloc/kernels/isa/vec.h"

namespace opencloc::kernels {
namespace {

void adamw_range(int64_t n, float* value, const float* grad, float* exp_avg, float* exp_avg_sq,
                 const AdamWCoefficients& c) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const float g = grad[i] * c.grad_scale;
    const float m = c.beta1 * exp_avg[i] + c.keep1 * g;
    const float v = c.beta2 * exp_avg_sq[i] + c.keep2 * g * g;
    exp_avg[i] = m;
    exp_avg_sq[i] = v;
    const float denominator = __builtin_sqrtf(v) * c.inv_sqrt_correction2 + c.epsilon;
    value[i] = value[i] * c.decay - c.step_size * m / denominator;
  }
}

double sum_of_squares_range(int64_t n, const float* x) {
  constexpr int kLanes = 16;
  double total[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      total[lane] += static_cast<double>(x[i + lane]) * x[i + lane];
    }
  }
  double result = 0;
  for (int lane = 0; lane < kLanes; ++lane) result += total[lane];
  for (; i < n; ++i) result += static_cast<double>(x[i]) * x[i];
  return result;
}

}  // namespace
}  // namespace opencloc::kernels

// AdamW and sums of squares on plain pointers, single-threaded: ops/optimizer_step.h cuts the work.
#pragma once

#include <cstdint>

namespace opencloc::kernels {

// value = value * decay - step_size * m / (sqrt(v) * inv_sqrt_correction2 + epsilon)
struct AdamWCoefficients {
  float beta1 = 0, keep1 = 1;  // keep = 1 - beta, rounded from double
  float beta2 = 0, keep2 = 1;
  float epsilon = 0;
  float decay = 1;                 // 1 - lr * weight_decay
  float step_size = 0;             // lr / (1 - beta1^t)
  float inv_sqrt_correction2 = 1;  // 1 / sqrt(1 - beta2^t)
  float grad_scale = 1;
};

void adamw(int64_t n, float* value, const float* grad, float* exp_avg, float* exp_avg_sq,
           const AdamWCoefficients& c);
double sum_of_squares(int64_t n, const float* x);

}  // namespace opencloc::kernels

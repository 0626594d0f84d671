#include "opencloc/kernels/pointwise/optimizer.h"

#include "opencloc/kernels/isa/kernel_table.h"

namespace opencloc::kernels {

void adamw(int64_t n, float* value, const float* grad, float* exp_avg, float* exp_avg_sq,
           const AdamWCoefficients& c) {
  kernel_table().adamw(n, value, grad, exp_avg, exp_avg_sq, c);
}

double sum_of_squares(int64_t n, const float* x) { return kernel_table().sum_of_squares(n, x); }

}  // namespace opencloc::kernels

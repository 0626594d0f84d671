// GELU and bias over rows of F32, threaded; the same result for any number of threads.
#pragma once

#include <cstdint>

namespace opencloc::kernels {

// kQuick: x * sigmoid(1.702 x); kTanh: x * sigmoid(2 u) = x (1 + tanh u) / 2 with
// u = sqrt(2 / pi) (x + 0.044715 x^3).
enum class Gelu { kErf, kQuick, kTanh };

// y may be x. n >= 0 elements.
void gelu_forward(Gelu kind, int64_t n, const float* x, float* y);
// dx = dy * gelu'(x); dx may be dy.
void gelu_backward(Gelu kind, int64_t n, const float* x, const float* dy, float* dx);

// z [rows, width] += bias [width] (null: nothing to add), y = gelu(z).
void bias_gelu_forward(Gelu kind, int64_t rows, int64_t width, const float* bias, float* z,
                       float* y);
// y [rows, width] += bias [width].
void add_bias(int64_t rows, int64_t width, const float* bias, float* y);
// sums [width] = sum of the rows of x [rows, width].
void column_sums(int64_t rows, int64_t width, const float* x, float* sums);

}  // namespace opencloc::kernels

// Layer norm over rows of F32, threaded; the same result for any number of threads.
#pragma once

#include <cstdint>

namespace opencloc::kernels {

// y [rows, width] = (x - mean) * rstd * weight + bias; mean, rstd [rows] are kept for the backward
// pass. weight, bias [width].
void layer_norm_forward(int64_t rows, int64_t width, const float* x, const float* weight,
                        const float* bias, float epsilon, float* y, float* mean, float* rstd);
// dx [rows, width], dweight and dbias [width] are overwritten. `beside` [rows, width] (null: none),
// the gradient that reaches x past the layer norm, is added to dx.
void layer_norm_backward(int64_t rows, int64_t width, const float* x, const float* mean,
                         const float* rstd, const float* weight, const float* dy,
                         const float* beside, float* dx, float* dweight, float* dbias);

}  // namespace opencloc::kernels

// Sums of F32 arrays, threaded.
#pragma once

#include <cstdint>

namespace opencloc::kernels {

// sum [count] = a + b; none overlaps another.
void add(int64_t count, const float* a, const float* b, float* sum);

}  // namespace opencloc::kernels

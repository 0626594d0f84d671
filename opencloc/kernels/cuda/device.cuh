// What all kernels share. Private to opencloc/kernels/cuda.
#pragma once

#ifdef __CUDACC__
#include <cuda_runtime.h>
#define OPENCLOC_LAUNCH(kernel, blocks, stream, ...)                              \
  kernel<<<static_cast<unsigned>(blocks), ::opencloc::kernels::cuda::kThreads, 0, \
           static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__);                     \
  return static_cast<int>(cudaGetLastError())
#else
#include "opencloc/kernels/cuda/run_on_cpu.h"
#endif

#include <cmath>

#include "opencloc/kernels/cuda/cuda_kernels.h"

namespace opencloc::kernels::cuda {

__device__ inline float widen(bf16 value) {
  const uint32_t bits = static_cast<uint32_t>(value) << 16;
#ifdef __CUDACC__
  return __uint_as_float(bits);
#else
  return float_of(bits);
#endif
}

// To the nearest, ties to even; NaN stays NaN.
__device__ inline bf16 narrow(float value) {
#ifdef __CUDACC__
  const uint32_t bits = __float_as_uint(value);
#else
  const uint32_t bits = bits_of(value);
#endif
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<bf16>((bits >> 16) | 0x40u);
  return static_cast<bf16>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// The sums of two values over the block, in all its threads. `shared` has room for 2 x 32.
__device__ inline void sum_over_block(float& a, float& b, float* shared) {
  for (int distance = 16; distance > 0; distance /= 2) {
    a += __shfl_xor_sync(0xffffffffu, a, distance);
    b += __shfl_xor_sync(0xffffffffu, b, distance);
  }
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  __syncthreads();  // whoever still reads `shared` of the call before
  if (lane == 0) {
    shared[warp] = a;
    shared[32 + warp] = b;
  }
  __syncthreads();
  a = b = 0;
  for (int i = 0; i < kThreads / 32; ++i) {
    a += shared[i];
    b += shared[32 + i];
  }
}

}  // namespace opencloc::kernels::cuda

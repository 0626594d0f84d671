// CUDA kernels on plain pointers of the GPU's memory, without libtorch: what libtorch makes in more
// passes over memory than needed (docs/guide/gpu.md has the numbers). Each call puts its work on
// `stream` and returns CUDA's error code, 0 where all is well. Results are the same every time.
//
// The sources are CUDA's, and plain C++ as well: run_on_cpu.h runs them on the CPU, thread by
// thread, for the tests.
#pragma once

#include <cstdint>

namespace opencloc::kernels::cuda {

using Stream = void*;   // cudaStream_t; null: the default one
using bf16 = uint16_t;  // the upper half of an F32

#ifdef __CUDACC__
inline constexpr int kThreads = 256;  // of a block
#else
inline constexpr int kThreads = 64;  // enough to show what two warps do, in a fraction of the time
#endif
inline constexpr int kMaxWidth = 8192;  // of a layer norm

// sum = x + added, normed = layer norm of it, over rows of `width` (at most kMaxWidth).
struct AddLayerNorm {
  int64_t rows = 0;
  int width = 0;
  float epsilon = 1e-5f;
  const bf16* x = nullptr;        // [rows, width]
  const bf16* added = nullptr;    // [rows, width]; null: nothing is added, and `sum` not written
  const float* weight = nullptr;  // [width]
  const float* bias = nullptr;    // [width]
  bf16* sum = nullptr;            // [rows, width]
  bf16* normed = nullptr;         // [rows, width]
  float* mean = nullptr;          // [rows]
  float* rstd = nullptr;          // [rows]
};
int add_layer_norm_forward(const AddLayerNorm& call, Stream stream);

// Its gradients. The gradient of x and of `added` is one.
struct AddLayerNormBackward {
  int64_t rows = 0;
  int width = 0;
  const bf16* sum = nullptr;      // [rows, width], what was normalised
  const float* mean = nullptr;    // [rows]
  const float* rstd = nullptr;    // [rows]
  const float* weight = nullptr;  // [width]
  const bf16* dnormed = nullptr;  // [rows, width]
  const bf16* dsum = nullptr;     // [rows, width], what reaches the sum beside; null: nothing does
  bf16* dx = nullptr;             // [rows, width]
  float* dweight = nullptr;       // [width]
  float* dbias = nullptr;         // [width]
  float* scratch = nullptr;       // [layer_norm_scratch(width)]
};
int add_layer_norm_backward(const AddLayerNormBackward& call, Stream stream);
int64_t layer_norm_scratch(int width);  // floats

enum class CudaGelu { kErf, kQuick, kTanh };

// h = gelu(z), n elements.
int gelu_forward(CudaGelu kind, int64_t n, const bf16* z, bf16* h, Stream stream);

// dz = dh * gelu'(z), and dbias = its sums over the rows, added in F32. dz may be dh.
struct GeluBackward {
  CudaGelu kind = CudaGelu::kErf;
  int64_t rows = 0;
  int width = 0;
  const bf16* z = nullptr;   // [rows, width]
  const bf16* dh = nullptr;  // [rows, width]
  bf16* dz = nullptr;        // [rows, width]
  float* dbias = nullptr;    // [width]
  float* scratch = nullptr;  // [gelu_scratch(width)]
};
int gelu_backward(const GeluBackward& call, Stream stream);
int64_t gelu_scratch(int width);  // floats

// All of them. The library that nvcc makes is loaded where there is a GPU, and hands them over by
// its function opencloc_cuda_kernels().
struct Kernels {
  int version = 1;
  int (*add_layer_norm_forward)(const AddLayerNorm& call, Stream stream) = nullptr;
  int (*add_layer_norm_backward)(const AddLayerNormBackward& call, Stream stream) = nullptr;
  int64_t (*layer_norm_scratch)(int width) = nullptr;
  int (*gelu_forward)(CudaGelu kind, int64_t n, const bf16* z, bf16* h, Stream stream) = nullptr;
  int (*gelu_backward)(const GeluBackward& call, Stream stream) = nullptr;
  int64_t (*gelu_scratch)(int width) = nullptr;
};

}  // namespace opencloc::kernels::cuda

// GELU of bf16, and its backward pass with the bias's gradient in the same pass: 2 reads and 1
// write of [rows, width] where libtorch reads the result once more, and for the quick GELU makes
// five operations forward and nine backward.
#include "opencloc/kernels/cuda/device.cuh"

namespace opencloc::kernels::cuda {
namespace {

#ifdef __CUDACC__
constexpr int64_t kRowBlocks = 128;  // rows are shared among so many blocks, for each 256 columns
#else
constexpr int64_t kRowBlocks = 3;  // so that a block has several rows in the tests
#endif

__device__ inline float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// gelu(x) and its derivative, as kernels/pointwise/gelu.h has them.
struct Curve {
  float value, slope;
};
__device__ inline Curve curve(CudaGelu kind, float x) {
  if (kind == CudaGelu::kErf) {
    const float below = 0.5f * (1.0f + erff(x * 0.70710678118654752f));
    return {x * below, below + x * 0.39894228040143268f * expf(-0.5f * x * x)};
  }
  if (kind == CudaGelu::kQuick) {
    const float s = sigmoid(1.702f * x);
    return {x * s, s + 1.702f * x * s * (1.0f - s)};
  }
  const float u = 1.5957691216057308f * (x + 0.044715f * x * x * x);
  const float s = sigmoid(u);
  const float du = 1.5957691216057308f * (1.0f + 3.0f * 0.044715f * x * x);
  return {x * s, s + x * s * (1.0f - s) * du};
}

__global__ void __launch_bounds__(kThreads)
    gelu_forward_kernel(CudaGelu kind, int64_t n, const bf16* z, bf16* h) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < n; i += step)
    h[i] = narrow(curve(kind, widen(z[i])).value);
}

// Block (column block, row block): scratch [kRowBlocks, width].
__global__ void __launch_bounds__(kThreads) gelu_backward_kernel(GeluBackward c) {
  const int64_t columns = (c.width + kThreads - 1) / kThreads;
  const int64_t at = static_cast<int64_t>(blockIdx.x) % columns * kThreads + threadIdx.x;
  const int64_t part = static_cast<int64_t>(blockIdx.x) / columns;
  if (at >= c.width) return;
  float sum = 0;
  for (int64_t row = part; row < c.rows; row += kRowBlocks) {
    const int64_t i = row * c.width + at;
    const float dz = widen(c.dh[i]) * curve(c.kind, widen(c.z[i])).slope;
    c.dz[i] = narrow(dz);
    sum += dz;
  }
  c.scratch[part * c.width + at] = sum;
}

__global__ void __launch_bounds__(kThreads) add_parts_kernel(GeluBackward c) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= c.width) return;
  float sum = 0;
  for (int64_t part = 0; part < kRowBlocks; ++part) sum += c.scratch[part * c.width + at];
  c.dbias[at] = sum;
}

int launch_slopes(const GeluBackward& call, Stream stream) {
  OPENCLOC_LAUNCH(gelu_backward_kernel, (call.width + kThreads - 1) / kThreads * kRowBlocks, stream,
                  call);
}
int launch_sums(const GeluBackward& call, Stream stream) {
  OPENCLOC_LAUNCH(add_parts_kernel, (call.width + kThreads - 1) / kThreads, stream, call);
}

}  // namespace

int gelu_forward(CudaGelu kind, int64_t n, const bf16* z, bf16* h, Stream stream) {
  constexpr int64_t kMost = 1 << 14;
  const int64_t blocks = (n + kThreads - 1) / kThreads;
  if (n == 0) return 0;
  OPENCLOC_LAUNCH(gelu_forward_kernel, blocks < kMost ? blocks : kMost, stream, kind, n, z, h);
}

int64_t gelu_scratch(int width) { return kRowBlocks * width; }

int gelu_backward(const GeluBackward& call, Stream stream) {
  if (call.width < 1) return 1;  // cudaErrorInvalidValue
  if (const int error = launch_slopes(call, stream); error != 0) return error;
  return launch_sums(call, stream);
}

}  // namespace opencloc::kernels::cuda

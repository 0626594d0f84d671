// Residual and layer norm. A block does whole rows, one after the other; a row's numbers stay in
// registers between the sum and the norm. Forward: 2 reads and 2 writes of [rows, width] where
// libtorch makes 3 and 2; backward 3 and 1 where it makes 6 and 2.
#include "opencloc/kernels/cuda/device.cuh"

namespace opencloc::kernels::cuda {
namespace {

constexpr int kPerThread = kMaxWidth / kThreads;
#ifdef __CUDACC__
constexpr int64_t kBlocks = 1056;  // 8 for each of 132 processors
#else
constexpr int64_t kBlocks = 3;  // so that a block has several rows in the tests
#endif

int64_t blocks_of(int64_t rows) { return rows < kBlocks ? rows : kBlocks; }

// PER: numbers of a row that a thread holds, so that small widths take few registers.
template <int PER>
__global__ void __launch_bounds__(kThreads) forward_kernel(AddLayerNorm c) {
  __shared__ float shared[64];
  for (int64_t row = blockIdx.x; row < c.rows; row += gridDim.x) {
    const int64_t first = row * c.width;
    float values[PER];
    float sum = 0, nothing = 0;
    for (int i = 0; i < PER; ++i) {
      const int at = static_cast<int>(threadIdx.x) + i * kThreads;
      values[i] = 0;
      if (at < c.width) {
        values[i] = widen(c.x[first + at]);
        if (c.added != nullptr) {
          // What is normalised is what is kept.
          const bf16 kept = narrow(values[i] + widen(c.added[first + at]));
          c.sum[first + at] = kept;
          values[i] = widen(kept);
        }
        sum += values[i];
      }
    }
    sum_over_block(sum, nothing, shared);
    const float mean = sum / static_cast<float>(c.width);
    float squares = 0;
    for (int i = 0; i < PER; ++i) {
      const int at = static_cast<int>(threadIdx.x) + i * kThreads;
      if (at < c.width) squares += (values[i] - mean) * (values[i] - mean);
    }
    sum_over_block(squares, nothing, shared);
    const float rstd = 1.0f / sqrtf(squares / static_cast<float>(c.width) + c.epsilon);
    for (int i = 0; i < PER; ++i) {
      const int at = static_cast<int>(threadIdx.x) + i * kThreads;
      if (at < c.width)
        c.normed[first + at] = narrow((values[i] - mean) * rstd * c.weight[at] + c.bias[at]);
    }
    if (threadIdx.x == 0) {
      c.mean[row] = mean;
      c.rstd[row] = rstd;
    }
  }
}

// Each block adds up the gradients of weight and bias of its rows: scratch [2, blocks, width].
template <int PER>
__global__ void __launch_bounds__(kThreads) backward_kernel(AddLayerNormBackward c) {
  __shared__ float shared[64];
  float dweight[PER], dbias[PER];
  for (int i = 0; i < PER; ++i) dweight[i] = dbias[i] = 0;
  const float share = 1.0f / static_cast<float>(c.width);
  for (int64_t row = blockIdx.x; row < c.rows; row += gridDim.x) {
    const int64_t first = row * c.width;
    const float mean = c.mean[row], rstd = c.rstd[row];
    float normal[PER], dnormal[PER];
    float sum = 0, product = 0;
    for (int i = 0; i < PER; ++i) {
      const int at = static_cast<int>(threadIdx.x) + i * kThreads;
      normal[i] = dnormal[i] = 0;
      if (at < c.width) {
        const float dy = widen(c.dnormed[first + at]);
        normal[i] = (widen(c.sum[first + at]) - mean) * rstd;
        dnormal[i] = dy * c.weight[at];
        dweight[i] += dy * normal[i];
        dbias[i] += dy;
        sum += dnormal[i];
        product += dnormal[i] * normal[i];
      }
    }
    sum_over_block(sum, product, shared);
    for (int i = 0; i < PER; ++i) {
      const int at = static_cast<int>(threadIdx.x) + i * kThreads;
      if (at < c.width) {
        float dx = (dnormal[i] - (sum + normal[i] * product) * share) * rstd;
        if (c.dsum != nullptr) dx += widen(c.dsum[first + at]);
        c.dx[first + at] = narrow(dx);
      }
    }
  }
  float* weights = c.scratch + static_cast<int64_t>(blockIdx.x) * c.width;
  float* biases = weights + static_cast<int64_t>(gridDim.x) * c.width;
  for (int i = 0; i < PER; ++i) {
    const int at = static_cast<int>(threadIdx.x) + i * kThreads;
    if (at < c.width) {
      weights[at] = dweight[i];
      biases[at] = dbias[i];
    }
  }
}

// The blocks' sums, in their order: the same every time.
__global__ void __launch_bounds__(kThreads)
    add_blocks_kernel(const float* parts, int64_t blocks, int width, float* dweight, float* dbias) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= 2 * static_cast<int64_t>(width)) return;
  const bool bias = at >= width;
  const float* part = parts + (bias ? blocks * width + at - width : at);
  float sum = 0;
  for (int64_t block = 0; block < blocks; ++block) sum += part[block * width];
  (bias ? dbias[at - width] : dweight[at]) = sum;
}

template <int PER>
int launch_forward(const AddLayerNorm& call, Stream stream) {
  OPENCLOC_LAUNCH(forward_kernel<PER>, blocks_of(call.rows), stream, call);
}
template <int PER>
int launch_backward(const AddLayerNormBackward& call, Stream stream) {
  OPENCLOC_LAUNCH(backward_kernel<PER>, blocks_of(call.rows), stream, call);
}
int launch_add(const AddLayerNormBackward& call, Stream stream) {
  OPENCLOC_LAUNCH(add_blocks_kernel, (2 * int64_t{call.width} + kThreads - 1) / kThreads, stream,
                  call.scratch, blocks_of(call.rows), call.width, call.dweight, call.dbias);
}

// As many numbers a thread as the width needs.
#define OPENCLOC_BY_WIDTH(launch, call, stream)             \
  ((call).width <= 1 * kThreads   ? launch<1>(call, stream) \
   : (call).width <= 2 * kThreads ? launch<2>(call, stream) \
   : (call).width <= 3 * kThreads ? launch<3>(call, stream) \
   : (call).width <= 4 * kThreads ? launch<4>(call, stream) \
   : (call).width <= 5 * kThreads ? launch<5>(call, stream) \
   : (call).width <= 8 * kThreads ? launch<8>(call, stream) \
                                  : launch<kPerThread>(call, stream))

constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue

}  // namespace

int64_t layer_norm_scratch(int width) { return 2 * kBlocks * width; }

int add_layer_norm_forward(const AddLayerNorm& call, Stream stream) {
  if (call.width < 1 || call.width > kMaxWidth) return kInvalidValue;
  if (call.rows == 0) return 0;
  return OPENCLOC_BY_WIDTH(launch_forward, call, stream);
}

int add_layer_norm_backward(const AddLayerNormBackward& call, Stream stream) {
  if (call.width < 1 || call.width > kMaxWidth) return kInvalidValue;
  if (call.rows > 0) {
    if (const int error = OPENCLOC_BY_WIDTH(launch_backward, call, stream); error != 0)
      return error;
  }
  return launch_add(call, stream);
}

}  // namespace opencloc::kernels::cuda

#include "opencloc/kernels/pointwise/layer_norm.h"

#include <algorithm>
#include <vector>

#include "opencloc/kernels/isa/kernel_table.h"
#include "opencloc/kernels/parallel.h"

namespace opencloc::kernels {

void layer_norm_forward(int64_t rows, int64_t width, const float* x, const float* weight,
                        const float* bias, float epsilon, float* y, float* mean, float* rstd) {
  const KernelTable& table = kernel_table();
  parallel_ranges(rows, 64, [&](int64_t begin, int64_t end) {
    table.layer_norm_forward(end - begin, width, x + begin * width, weight, bias, epsilon,
                             y + begin * width, mean + begin, rstd + begin);
  });
}

void layer_norm_backward(int64_t rows, int64_t width, const float* x, const float* mean,
                         const float* rstd, const float* weight, const float* dy,
                         const float* beside, float* dx, float* dweight, float* dbias) {
  constexpr int64_t kChunk = 128;  // rows whose weight gradients are summed alone: fixed
  const KernelTable& table = kernel_table();
  const int64_t chunks = (rows + kChunk - 1) / kChunk;
  std::vector<float> partial(static_cast<size_t>(2 * chunks * width));
  float *dweights = partial.data(), *dbiases = dweights + chunks * width;  // [chunks, width]
  parallel_ranges(chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      const int64_t first = chunk * kChunk, count = std::min(kChunk, rows - first);
      const int64_t at = first * width;
      table.layer_norm_backward(count, width, x + at, mean + first, rstd + first, weight, dy + at,
                                beside == nullptr ? nullptr : beside + at, dx + at,
                                dweights + chunk * width, dbiases + chunk * width);
    }
  });
  table.column_sums(chunks, width, dweights, dweight);
  table.column_sums(chunks, width, dbiases, dbias);
}

}  // namespace opencloc::kernels

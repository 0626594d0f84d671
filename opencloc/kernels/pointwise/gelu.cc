#include "opencloc/kernels/pointwise/gelu.h"

#include <algorithm>
#include <vector>

#include "opencloc/kernels/isa/kernel_table.h"
#include "opencloc/kernels/parallel.h"

namespace opencloc::kernels {
namespace {
constexpr int64_t kGrain = 16384;  // elements worth a second thread

int64_t grain_rows(int64_t width) {
  return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, width));
}
}  // namespace

void gelu_forward(Gelu kind, int64_t n, const float* x, float* y) {
  const KernelTable& table = kernel_table();
  parallel_ranges(n, kGrain, [&](int64_t begin, int64_t end) {
    table.gelu_forward(kind, end - begin, x + begin, y + begin);
  });
}

void gelu_backward(Gelu kind, int64_t n, const float* x, const float* dy, float* dx) {
  const KernelTable& table = kernel_table();
  parallel_ranges(n, kGrain, [&](int64_t begin, int64_t end) {
    table.gelu_backward(kind, end - begin, x + begin, dy + begin, dx + begin);
  });
}

void bias_gelu_forward(Gelu kind, int64_t rows, int64_t width, const float* bias, float* z,
                       float* y) {
  const KernelTable& table = kernel_table();
  parallel_ranges(rows, grain_rows(width), [&](int64_t begin, int64_t end) {
    table.bias_gelu_forward(kind, end - begin, width, bias, z + begin * width, y + begin * width);
  });
}

void add_bias(int64_t rows, int64_t width, const float* bias, float* y) {
  const KernelTable& table = kernel_table();
  parallel_ranges(rows, grain_rows(width), [&](int64_t begin, int64_t end) {
    table.add_bias(end - begin, width, bias, y + begin * width);
  });
}

void column_sums(int64_t rows, int64_t width, const float* x, float* sums) {
  constexpr int64_t kChunk = 256;  // rows summed alone: fixed, so the result is too
  const KernelTable& table = kernel_table();
  const int64_t chunks = (rows + kChunk - 1) / kChunk;
  std::vector<float> partial(static_cast<size_t>(chunks * width));
  parallel_ranges(chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      const int64_t first = chunk * kChunk, count = std::min(kChunk, rows - first);
      table.column_sums(count, width, x + first * width, partial.data() + chunk * width);
    }
  });
  table.column_sums(chunks, width, partial.data(), sums);
}

}  // namespace opencloc::kernels

#include <algorithm>

#include "opencloc/image/resize_kernels.h"

namespace opencloc::detail {
namespace {

constexpr uint32_t kHalf = 1u << (kWeightBits - 1);

uint8_t to_byte(uint32_t sum) {
  return static_cast<uint8_t>(std::clamp(static_cast<int32_t>(sum) >> kWeightBits, 0, 255));
}

}  // namespace

void horizontal_pass_portable(const RowsIn& in, const AxisWeights& weights, const RowsOut& out) {
  for (int y = 0; y < in.rows; ++y) {
    const uint8_t* row = in.data + y * in.stride;
    uint8_t* target = out.data + y * out.stride;
    for (int i = 0; i < weights.outputs; ++i, target += 3) {
      const uint8_t* pixel = row + 3 * static_cast<ptrdiff_t>(weights.first[i]);
      const int32_t* weight = weights.weights.data() + static_cast<size_t>(i) * weights.stride;
      uint32_t sum[3] = {kHalf, kHalf, kHalf};
      for (int k = 0; k < weights.count[i]; ++k, pixel += 3) {
        const auto w = static_cast<uint32_t>(weight[k]);
        for (int c = 0; c < 3; ++c) sum[c] += w * pixel[c];
      }
      for (int c = 0; c < 3; ++c) target[c] = to_byte(sum[c]);
    }
  }
}

void vertical_pass_portable(const RowsIn& in, const AxisWeights& weights, const RowsOut& out) {
  const int bytes = 3 * in.width;
  std::vector<uint32_t> sums(bytes);
  for (int i = 0; i < weights.outputs; ++i) {
    std::fill(sums.begin(), sums.end(), kHalf);
    const int32_t* weight = weights.weights.data() + static_cast<size_t>(i) * weights.stride;
    for (int k = 0; k < weights.count[i]; ++k) {
      const uint8_t* row = in.data + (weights.first[i] + k) * in.stride;
      const auto w = static_cast<uint32_t>(weight[k]);
      for (int x = 0; x < bytes; ++x) sums[x] += w * row[x];
    }
    uint8_t* target = out.data + i * out.stride;
    for (int x = 0; x < bytes; ++x) target[x] = to_byte(sums[x]);
  }
}

}  // namespace opencloc::detail

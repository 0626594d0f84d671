#include "opencloc/kernels/scan/row16.h"

#include <algorithm>
#include <cmath>

namespace opencloc::kernels {
namespace {

constexpr float kLargest16 = 32767;
constexpr int kLeastExponent = -126;  // of a float that keeps all its bits

}  // namespace

float unit16_of(const float* row, int64_t width) {
  float largest = 0;
  for (int64_t i = 0; i < width; ++i) largest = std::max(largest, std::abs(row[i]));
  if (!(largest > 0)) return 1;
  int exponent = 0;
  std::frexp(largest, &exponent);  // largest in [2^(exponent - 1), 2^exponent)
  float unit = std::ldexp(1.0f, std::max(exponent - 15, kLeastExponent));
  if (std::nearbyint(largest / unit) > kLargest16) unit *= 2;
  return unit;
}

void round_to_16(const float* row, int64_t width, float unit, uint16_t* to) {
  for (int64_t i = 0; i < width; ++i)
    to[i] = static_cast<uint16_t>(static_cast<int16_t>(std::nearbyint(row[i] / unit)));
}

}  // namespace opencloc::kernels

#include "opencloc/image/resize_weights.h"

#include <algorithm>
#include <cmath>

namespace opencloc::detail {
namespace {

double bilinear(double x) {
  x = std::abs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

// Keys' cubic with a = -0.5; the operations and their order are Pillow's.
double bicubic(double x) {
  constexpr double kA = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((kA + 2.0) * x - (kA + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * kA;
  return 0.0;
}

// Pillow's rounding of filter bounds, which differs from lround() below zero.
// NOLINTNEXTLINE(bugprone-incorrect-roundings)
int round_up_half(double x) { return static_cast<int>(x + 0.5); }

int32_t to_fixed(double weight) {
  return static_cast<int32_t>((weight < 0 ? -0.5 : 0.5) + weight * (1 << kWeightBits));
}

}  // namespace

bool Axis::identity() const {
  return input == output && box0 == 0 && box1 == static_cast<float>(output);
}

int AxisWeights::begin() const { return *std::min_element(first.begin(), first.end()); }

int AxisWeights::end() const {
  int end = 0;
  for (int i = 0; i < outputs; ++i) end = std::max(end, first[i] + count[i]);
  return end;
}

AxisWeights make_weights(const Axis& axis, Interpolation interpolation) {
  const auto filter = interpolation == Interpolation::kBicubic ? bicubic : bilinear;
  // The difference of the floats is a float, as in Pillow.
  const double scale = static_cast<double>(axis.box1 - axis.box0) / axis.output;
  const double filter_scale = std::max(scale, 1.0);  // > 1: antialiasing when shrinking
  const double support = (interpolation == Interpolation::kBicubic ? 2.0 : 1.0) * filter_scale;

  AxisWeights result;
  result.outputs = axis.window_size;
  const int most = std::min(axis.input, static_cast<int>(std::ceil(support)) * 2 + 1);
  result.stride = (most + 3) / 4 * 4;
  result.first.resize(axis.window_size);
  result.count.resize(axis.window_size);
  result.weights.assign(static_cast<size_t>(axis.window_size) * result.stride, 0);
  std::vector<double> exact(most);
  for (int i = 0; i < axis.window_size; ++i) {
    const double center = axis.box0 + (axis.window + i + 0.5) * scale;
    const int first = std::max(0, round_up_half(center - support));
    const int end = std::min(axis.input, round_up_half(center + support));
    const int count = std::max(0, end - first);
    double sum = 0;
    for (int k = 0; k < count; ++k) {
      exact[k] = filter((k + first - center + 0.5) * (1.0 / filter_scale));
      sum += exact[k];
    }
    int32_t* weights = result.weights.data() + static_cast<size_t>(i) * result.stride;
    for (int k = 0; k < count; ++k) weights[k] = to_fixed(sum != 0 ? exact[k] / sum : exact[k]);
    result.first[i] = first;
    result.count[i] = count;
  }
  return result;
}

}  // namespace opencloc::detail

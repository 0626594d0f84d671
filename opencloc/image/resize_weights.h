// The fixed-point filter weights of one axis of a resize, as Pillow computes them.
#pragma once

#include <cstdint>
#include <vector>

#include "opencloc/image/resize.h"

namespace opencloc::detail {

constexpr int kWeightBits = 22;  // 32 - 8 for the pixel - 2 for the filter's overshoot

// Output i of the window = sum over k < count[i] of weights[i * stride + k] * input[first[i] + k],
// plus a half, shifted down by kWeightBits, clamped to 0..255.
struct AxisWeights {
  int outputs = 0;
  int stride = 0;  // a multiple of 4; weights beyond count are 0
  std::vector<int> first;
  std::vector<int> count;
  std::vector<int32_t> weights;

  // Inputs [begin, end) that any output reads.
  int begin() const;
  int end() const;
};

struct Axis {
  int input = 0;             // samples along the axis
  float box0 = 0, box1 = 0;  // the part of the input that the whole output covers
  int output = 0;            // samples of the whole output
  int window = 0;            // first output wanted
  int window_size = 0;       // how many
  bool identity() const;     // nothing to do but to copy
};

AxisWeights make_weights(const Axis& axis, Interpolation interpolation);

}  // namespace opencloc::detail

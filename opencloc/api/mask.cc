#include <algorithm>

#include "opencloc/api/opencloc.h"

namespace opencloc {

Mask::Mask(int width, int height, std::vector<uint8_t> inside)
    : width_(width), height_(height), inside_(std::move(inside)) {
  if (width < 1 || height < 1 ||
      inside_.size() != static_cast<size_t>(width) * static_cast<size_t>(height)) {
    throw Error::input("a mask of " + std::to_string(width) + " x " + std::to_string(height) +
                           " with " + std::to_string(inside_.size()) + " values",
                       {}, "give width * height values");
  }
  int x0 = width;
  int y0 = height;
  int x1 = 0;
  int y1 = 0;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      if (!at(x, y)) continue;
      x0 = std::min(x0, x);
      x1 = std::max(x1, x + 1);
      y0 = std::min(y0, y);
      y1 = std::max(y1, y + 1);
    }
  }
  if (x1 == 0) throw Error::input("the mask is empty", {}, "mark at least one pixel");
  const auto w = static_cast<float>(width);
  const auto h = static_cast<float>(height);
  bounds_ = {static_cast<float>(x0) / w, static_cast<float>(y0) / h, static_cast<float>(x1) / w,
             static_cast<float>(y1) / h};
}

std::vector<Point> Mask::sample(int count) const {
  std::vector<size_t> pixels;
  for (size_t i = 0; i < inside_.size(); ++i) {
    if (inside_[i] != 0) pixels.push_back(i);
  }
  std::vector<Point> points;
  const auto row = static_cast<size_t>(width_);
  for (int i = 0; i < count; ++i) {
    // The middles of `count` equal runs.
    const size_t pixel =
        pixels[(2 * static_cast<size_t>(i) + 1) * pixels.size() / (2 * static_cast<size_t>(count))];
    const size_t x = pixel % row;
    const size_t y = pixel / row;
    points.push_back({(static_cast<float>(x) + 0.5f) / static_cast<float>(width_),
                      (static_cast<float>(y) + 0.5f) / static_cast<float>(height_)});
  }
  return points;
}

}  // namespace opencloc

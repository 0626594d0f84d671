// Axis-aligned boxes. x0, y0, x1, y1; in [0, 1] of the image unless a function says pixels.
#pragma once

#include <algorithm>
#include <cmath>

namespace opencloc {

struct Box {
  float x0 = 0, y0 = 0, x1 = 0, y1 = 0;

  float width() const { return x1 - x0; }
  float height() const { return y1 - y0; }
  // 0 for empty or inverted boxes.
  float area() const { return std::max(0.0f, width()) * std::max(0.0f, height()); }
  bool finite() const {
    return std::isfinite(x0) && std::isfinite(y0) && std::isfinite(x1) && std::isfinite(y1);
  }
  bool operator==(const Box&) const = default;
};

inline Box intersect(const Box& a, const Box& b) {
  return {std::max(a.x0, b.x0), std::max(a.y0, b.y0), std::min(a.x1, b.x1), std::min(a.y1, b.y1)};
}

inline Box clip_to_unit(const Box& box) { return intersect(box, {0, 0, 1, 1}); }

// Intersection over union; 0 when either box is empty.
inline float iou(const Box& a, const Box& b) {
  const float shared = intersect(a, b).area();
  const float whole = a.area() + b.area() - shared;
  return whole > 0 ? shared / whole : 0;
}

}  // namespace opencloc

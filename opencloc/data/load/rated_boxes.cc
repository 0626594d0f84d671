#include "opencloc/data/load/rated_boxes.h"

#include <algorithm>
#include <cmath>

namespace opencloc {
namespace {

constexpr int kBoxesTried = 4;          // of which the one nearest to the wanted IoU is taken
constexpr double kLeastIou = 0.02;      // that is wanted: a box fifty times too large
constexpr double kLeastSide = 0.05;     // of a box anywhere
constexpr double kAspect = 1.5;         // at most, of a box that is too large or too small
constexpr double kJitterAtZero = 0.45;  // standard deviation of a side's place for an IoU near 0

float best_iou(const Box& box, const std::vector<Box>& objects) {
  float best = 0;
  for (const Box& object : objects) best = std::max(best, iou(box, object));
  return best;
}

Box box_at(double x, double y, double width, double height) {
  return clip_to_unit({static_cast<float>(x), static_cast<float>(y), static_cast<float>(x + width),
                       static_cast<float>(y + height)});
}

// Each side at a random place about its own.
Box moved(const Box& box, double wanted, Rng& rng) {
  const double sigma = kJitterAtZero * (1 - wanted);
  const auto at = [&](float side, float extent) {
    return side + static_cast<float>(sigma * rng.normal()) * extent;
  };
  Box result{at(box.x0, box.width()), at(box.y0, box.height()), at(box.x1, box.width()),
             at(box.y1, box.height())};
  if (result.x0 > result.x1) std::swap(result.x0, result.x1);
  if (result.y0 > result.y1) std::swap(result.y0, result.y1);
  return clip_to_unit(result);
}

// `growth` times the area: above 1 a box around it, below 1 a part of it. Anywhere it can be.
Box scaled(const Box& box, double growth, Rng& rng) {
  const double aspect = std::exp(std::log(kAspect) * rng.uniform(-1, 1));
  const double width = static_cast<double>(box.width()), height = static_cast<double>(box.height());
  const bool inside = growth < 1;
  const auto side = [&](double extent, double factor) {
    return extent * (inside ? std::min(1.0, factor) : std::max(1.0, factor));
  };
  const double new_width = side(width, std::sqrt(growth) * aspect);
  const double new_height = side(height, std::sqrt(growth) / aspect);
  return box_at(static_cast<double>(box.x0) - rng.uniform() * (new_width - width),
                static_cast<double>(box.y0) - rng.uniform() * (new_height - height), new_width,
                new_height);
}

Box anywhere(Rng& rng) {
  const auto side = [&] { return std::exp(std::log(kLeastSide) * rng.uniform()); };
  const double width = side(), height = side();
  return box_at(rng.uniform() * (1 - width), rng.uniform() * (1 - height), width, height);
}

RatedBox about(const std::vector<Box>& objects, Rng& rng) {
  const Box& object = objects[rng.below(objects.size())];
  const double wanted = rng.uniform(kLeastIou, 1);
  RatedBox best{object, best_iou(object, objects)};
  double off = 2;
  for (int i = 0; i < kBoxesTried; ++i) {
    const uint64_t kind = rng.below(3);
    const Box box = kind == 0   ? moved(object, wanted, rng)
                    : kind == 1 ? scaled(object, 1 / wanted, rng)
                                : scaled(object, wanted, rng);
    if (box.area() <= 0) continue;
    const float got = best_iou(box, objects);
    if (std::abs(static_cast<double>(got) - wanted) >= off) continue;
    off = std::abs(static_cast<double>(got) - wanted);
    best = {box, got};
  }
  return best;
}

}  // namespace

std::vector<RatedBox> rated_boxes(const std::vector<Box>& objects, int64_t count, Rng& rng) {
  std::vector<RatedBox> boxes;
  if (objects.empty()) return boxes;
  for (int64_t i = 0; i < count; ++i) {
    if (i % 4 == 3) {
      const Box box = anywhere(rng);
      boxes.push_back({box, best_iou(box, objects)});
    } else {
      boxes.push_back(about(objects, rng));
    }
  }
  return boxes;
}

}  // namespace opencloc

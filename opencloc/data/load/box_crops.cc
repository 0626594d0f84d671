#include "opencloc/data/load/box_crops.h"

#include <algorithm>
#include <cmath>

namespace opencloc {
namespace {

constexpr double kLeastCropSide = 1.0 / 6;

// [first, end) of the box's own length within [low, high].
struct Side {
  float first = 0, end = 0;
};
Side drawn_side(float low, float high, Rng& rng) {
  const double share = std::exp(std::log(kLeastCropSide) * rng.uniform());
  const double whole = static_cast<double>(high) - static_cast<double>(low);
  const double first = static_cast<double>(low) + rng.uniform() * (1 - share) * whole;
  return {static_cast<float>(first), std::min(high, static_cast<float>(first + share * whole))};
}

struct Pixels {
  int first = 0, count = 0;
};
Pixels whole_pixels(float low, float high, int size) {
  const auto at = [size](float place) {
    return static_cast<int>(std::lround(static_cast<double>(place) * size));
  };
  const int first = std::clamp(at(low), 0, size - 1);
  return {first, std::clamp(at(high), first + 1, size) - first};
}

}  // namespace

std::vector<Box> boxes_to_crop(const std::vector<Box>& objects, const Box& content, int64_t count,
                               Rng& rng) {
  std::vector<Box> boxes;
  for (int64_t i = 0; i < count; ++i) {
    if (i % 2 == 0 && !objects.empty()) {
      boxes.push_back(objects[rng.below(objects.size())]);
      continue;
    }
    const Side x = drawn_side(content.x0, content.x1, rng);
    const Side y = drawn_side(content.y0, content.y1, rng);
    boxes.push_back({x.first, y.first, x.end, y.end});
  }
  return boxes;
}

Image crop_of_box(const Image& picture, const CanvasMap& map, const Box& box,
                  const CanvasOptions& canvas) {
  const Box at = map.to_image(box);
  const Pixels x = whole_pixels(at.x0, at.x1, picture.full_width());
  const Pixels y = whole_pixels(at.y0, at.y1, picture.full_height());
  return to_canvas(picture, canvas,
                   {.crop = PixelRect{x.first, y.first, x.count, y.count}, .flip = map.scale_x < 0})
      .image;
}

}  // namespace opencloc

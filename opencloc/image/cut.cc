#include "opencloc/image/cut.h"

#include <algorithm>
#include <cmath>

namespace opencloc {
namespace {

// The pixels along one side that [low, high] of the stored picture touches.
struct PixelSpan {
  PixelSpan() = default;
  PixelSpan(float low, float high, int size, float stored) {
    first = std::clamp(static_cast<int>(std::floor(low * stored)), 0, size - 1);
    const int end = std::clamp(static_cast<int>(std::ceil(high * stored)), first + 1, size);
    count = end - first;
  }
  int first = 0, count = 0;
};

// PIL's crop: each side rounded to whole pixels, halves to even. Boxes in [0, 1] are a little off
// the halves that their pixels were, so that thousandths of a pixel do not count.
PixelSpan rounded_span(double low, double high, int size) {
  const auto whole = [](double at) {
    return static_cast<int>(std::nearbyint(std::nearbyint(at * 1e3) / 1e3));
  };
  PixelSpan span;
  span.first = std::clamp(whole(low), 0, size - 1);
  span.count = std::clamp(whole(high), span.first + 1, size) - span.first;
  return span;
}

}  // namespace

PixelRect pixels_of(const Box& box, const Image& image) {
  // In pixels of this picture, which may be a JPEG that was decoded smaller.
  const auto shrink = static_cast<float>(image.shrink);
  const PixelSpan x(box.x0, box.x1, image.width, static_cast<float>(image.full_width()) / shrink);
  const PixelSpan y(box.y0, box.y1, image.height, static_cast<float>(image.full_height()) / shrink);
  return {x.first, y.first, x.count, y.count};
}

PixelRect pixels_around(const Box& box, const Image& image) {
  const double width = static_cast<double>(image.full_width()) / image.shrink;
  const double height = static_cast<double>(image.full_height()) / image.shrink;
  const auto wide = [](float low, float high, double size, int pixels) {
    const double centre = (low + high) / 2.0 * size, reach = 0.75 * (high - low) * size;
    return rounded_span(std::max(centre - reach, 0.0), std::min(centre + reach, size), pixels);
  };
  const PixelSpan x = wide(box.x0, box.x1, width, image.width);
  const PixelSpan y = wide(box.y0, box.y1, height, image.height);
  return {x.first, y.first, x.count, y.count};
}

Image cut(const Image& image, const PixelRect& part) {
  Image result(part.width, part.height);
  const auto row_bytes = static_cast<std::ptrdiff_t>(part.width) * 3;
  for (int y = 0; y < part.height; ++y) {
    const auto from = (static_cast<std::ptrdiff_t>(part.y + y) * image.width + part.x) * 3;
    std::copy_n(image.pixels.begin() + from, row_bytes, result.pixels.begin() + y * row_bytes);
  }
  return result;
}

}  // namespace opencloc

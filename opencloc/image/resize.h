// Antialiased resizing, bit for bit what Pillow's Image.resize(size, resample, box) gives on RGB.
#pragma once

#include <array>
#include <optional>

#include "opencloc/image/image.h"

namespace opencloc {

enum class Interpolation { kBilinear, kBicubic };

// In pixels; width and height >= 1.
struct PixelRect {
  int x = 0, y = 0, width = 0, height = 0;
  bool operator==(const PixelRect&) const = default;
};

struct ResizeOptions {
  int width = 0;  // of the whole output, >= 1
  int height = 0;
  Interpolation interpolation = Interpolation::kBicubic;
  // Part of the source that is cut out first: the filter sees nothing outside (torchvision's crop).
  std::optional<PixelRect> crop = std::nullopt;
  // Pillow's `box` x0, y0, x1, y1 in (fractional) pixels of the crop: the filter looks beyond it.
  std::optional<std::array<float, 4>> box = std::nullopt;
  // The only part of the output that is computed and returned: resizing and then cropping, for the
  // price of the crop.
  std::optional<PixelRect> window = std::nullopt;
};

// Two passes (horizontal, vertical) with 22-bit fixed-point weights and 8 bits in between.
// Throws Error (input) when a size, the crop, the box or the window makes no sense. Thread-safe.
Image resize(const Image& image, const ResizeOptions& options);

}  // namespace opencloc

#include "opencloc/image/resize.h"

#include <cstring>
#include <memory>
#include <string>

#include "opencloc/base/error.h"
#include "opencloc/image/resize_kernels.h"

namespace opencloc {
namespace {

using namespace detail;

struct Passes {
  HorizontalPass horizontal;
  VerticalPass vertical;
};

Passes best_passes() {
#ifdef OPENCLOC_RESIZE_X86
  if (has_vnni()) return {horizontal_pass_vnni, vertical_pass_avx2};
  if (__builtin_cpu_supports("avx2")) return {horizontal_pass_avx2, vertical_pass_avx2};
#endif
  return {horizontal_pass_portable, vertical_pass_portable};
}

std::string size_text(int width, int height) {
  return std::to_string(width) + "x" + std::to_string(height);
}

void check_inside(const PixelRect& rect, int width, int height, const char* name) {
  const bool inside = rect.width >= 1 && rect.height >= 1 && rect.x >= 0 && rect.y >= 0 &&
                      rect.x <= width - rect.width && rect.y <= height - rect.height;
  if (!inside) {
    throw Error::input("the " + std::string(name) + " " + size_text(rect.width, rect.height) + "+" +
                           std::to_string(rect.x) + "+" + std::to_string(rect.y) +
                           " does not lie inside " + size_text(width, height),
                       "resize");
  }
}

void check_box(const std::array<float, 4>& box, int width, int height) {
  const auto [x0, y0, x1, y1] = box;
  const bool good = x0 >= 0 && y0 >= 0 && x1 <= static_cast<float>(width) &&
                    y1 <= static_cast<float>(height) && x0 < x1 && y0 < y1;
  if (!good) {
    throw Error::input(
        "the box is empty or reaches outside the " + size_text(width, height) + " picture",
        "resize");
  }
}

}  // namespace

Image resize(const Image& image, const ResizeOptions& options) {
  if (image.width < 1 || image.height < 1) throw Error::input("the picture is empty", "resize");
  if (options.width < 1 || options.height < 1) {
    throw Error::input("the size " + size_text(options.width, options.height) + " is empty",
                       "resize");
  }
  const PixelRect crop = options.crop.value_or(PixelRect{0, 0, image.width, image.height});
  check_inside(crop, image.width, image.height, "crop");
  const std::array<float, 4> box = options.box.value_or(
      std::array<float, 4>{0, 0, static_cast<float>(crop.width), static_cast<float>(crop.height)});
  check_box(box, crop.width, crop.height);
  const PixelRect window = options.window.value_or(PixelRect{0, 0, options.width, options.height});
  check_inside(window, options.width, options.height, "window");

  const Axis across{crop.width, box[0], box[2], options.width, window.x, window.width};
  const Axis down{crop.height, box[1], box[3], options.height, window.y, window.height};
  static const Passes passes = best_passes();
  const ptrdiff_t image_stride = 3 * static_cast<ptrdiff_t>(image.width);

  // The rows of the source that the output needs.
  AxisWeights row_weights;
  int first_row = window.y;
  int row_count = window.height;
  if (!down.identity()) {
    row_weights = make_weights(down, options.interpolation);
    first_row = row_weights.begin();
    row_count = row_weights.end() - first_row;
    for (int& first : row_weights.first) first -= first_row;
  }

  RowsIn rows{image.row(crop.y + first_row) + 3 * static_cast<ptrdiff_t>(crop.x), image_stride,
              row_count, crop.width, image.pixels.data() + image.pixels.size()};
  std::unique_ptr<uint8_t[]> between;  // [row_count, window.width, 3], 8 bits as in Pillow
  if (across.identity()) {
    rows.data += 3 * static_cast<ptrdiff_t>(window.x);
  } else {
    const AxisWeights weights = make_weights(across, options.interpolation);
    const ptrdiff_t stride = 3 * static_cast<ptrdiff_t>(window.width) + kRowSlack;
    between = std::make_unique_for_overwrite<uint8_t[]>(static_cast<size_t>(stride) * row_count);
    passes.horizontal(rows, weights, {between.get(), stride});
    rows = {between.get(), stride, row_count, window.width, between.get() + stride * row_count};
  }
  rows.width = window.width;

  Image result(window.width, window.height);
  const RowsOut out{result.pixels.data(), 3 * static_cast<ptrdiff_t>(window.width)};
  if (down.identity()) {
    for (int y = 0; y < window.height; ++y) {
      std::memcpy(result.row(y), rows.data + y * rows.stride, out.stride);
    }
  } else {
    passes.vertical(rows, row_weights, out);
  }
  return result;
}

}  // namespace opencloc

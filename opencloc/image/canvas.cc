#include "opencloc/image/canvas.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

// Python's round(): halves go to the even neighbour.
int64_t round_half_even(double x) { return static_cast<int64_t>(std::nearbyint(x)); }

// One axis of the way onto the canvas, in pixels.
struct AxisPlan {
  int resized = 0;  // length of the whole resized crop
  int first = 0;    // of the resized samples that are kept
  int kept = 0;
  int pad = 0;      // canvas samples before the first
  double zoom = 0;  // of boxes; 0: resized / the crop's length, which is rounded
};

struct Plan {
  PixelRect crop;
  AxisPlan x, y;
};

// open_clip's center_crop_or_pad along one axis.
AxisPlan centre(int64_t resized, int canvas) {
  AxisPlan plan;
  plan.resized = static_cast<int>(resized);
  if (resized >= canvas) {
    plan.first = static_cast<int>(round_half_even(static_cast<double>(resized - canvas) / 2.0));
    plan.kept = canvas;
  } else {
    plan.kept = plan.resized;
    plan.pad = (canvas - plan.resized) / 2;
  }
  return plan;
}

// In the corner, all of the padding behind it.
AxisPlan cornered(int64_t resized, int canvas) {
  AxisPlan plan = centre(resized, canvas);
  plan.pad = 0;
  return plan;
}

struct Size {
  int64_t width, height;
};

// Size of the resized crop before it is cut or padded.
Size resized_size(int width, int height, const CanvasOptions& options) {
  if (options.rule == CanvasRule::kSquash) return {options.width, options.height};
  if (options.rule == CanvasRule::kShortest && options.width == options.height) {
    // torchvision's Resize(int): the long side is truncated, not rounded.
    const int64_t size = options.width;
    if (width <= height) return {size, size * height / width};
    return {size * width / height, size};
  }
  // open_clip's ResizeKeepRatio.
  const double ratio_x = static_cast<double>(width) / options.width;
  const double ratio_y = static_cast<double>(height) / options.height;
  const bool whole = options.rule == CanvasRule::kLongest || options.rule == CanvasRule::kCorner;
  const double ratio = whole ? std::max(ratio_x, ratio_y) : std::min(ratio_x, ratio_y);
  return {std::max<int64_t>(1, round_half_even(width / ratio)),
          std::max<int64_t>(1, round_half_even(height / ratio))};
}

Plan make_plan(int width, int height, const CanvasOptions& options, const CanvasView& view) {
  if (options.width < 1 || options.height < 1) {
    throw Error::input("the canvas " + std::to_string(options.width) + "x" +
                           std::to_string(options.height) + " is empty",
                       "canvas");
  }
  Plan plan;
  plan.crop = view.crop.value_or(PixelRect{0, 0, width, height});
  if (plan.crop.width < 1 || plan.crop.height < 1)
    throw Error::input("the crop is empty", "canvas");
  const Size size = resized_size(plan.crop.width, plan.crop.height, options);
  if (std::max(size.width, size.height) > std::numeric_limits<int>::max() / 2) {
    throw Error::input("a picture of " + std::to_string(plan.crop.width) + "x" +
                           std::to_string(plan.crop.height) + " is too long for its width",
                       "canvas", "use another canvas rule or leave it out");
  }
  const auto place = options.rule == CanvasRule::kCorner ? cornered : centre;
  plan.x = place(size.width, options.width);
  plan.y = place(size.height, options.height);
  if (options.rule == CanvasRule::kCorner) {
    plan.x.zoom = plan.y.zoom = std::min(static_cast<double>(options.width) / plan.crop.width,
                                         static_cast<double>(options.height) / plan.crop.height);
  }
  return plan;
}

// canvas = image * scale + offset along one axis, both in [0, 1].
void map_axis(const AxisPlan& plan, int image, int crop_at, int crop_size, int canvas, float& scale,
              float& offset) {
  const double zoom = plan.zoom > 0 ? plan.zoom : static_cast<double>(plan.resized) / crop_size;
  scale = static_cast<float>(image * zoom / canvas);
  offset = static_cast<float>((plan.pad - plan.first - crop_at * zoom) / canvas);
}

CanvasMap map_of(const Plan& plan, int width, int height, const CanvasOptions& options, bool flip) {
  CanvasMap map;
  map_axis(plan.x, width, plan.crop.x, plan.crop.width, options.width, map.scale_x, map.offset_x);
  map_axis(plan.y, height, plan.crop.y, plan.crop.height, options.height, map.scale_y,
           map.offset_y);
  if (flip) {
    map.scale_x = -map.scale_x;
    map.offset_x = 1 - map.offset_x;
  }
  return map;
}

// A part of the stored picture in the pixels of the smaller one.
std::array<float, 4> shrunk(const PixelRect& rect, const Image& image) {
  const auto scaled = [&](int at) {
    return static_cast<float>(at) / static_cast<float>(image.shrink);
  };
  return {scaled(rect.x), scaled(rect.y), scaled(rect.x + rect.width),
          scaled(rect.y + rect.height)};
}

void mirror(Image& image) {
  for (int y = 0; y < image.height; ++y) {
    uint8_t* left = image.row(y);
    uint8_t* right = left + 3 * (static_cast<size_t>(image.width) - 1);
    for (; left < right; left += 3, right -= 3) std::swap_ranges(left, left + 3, right);
  }
}

}  // namespace

Box CanvasMap::to_canvas(const Box& box) const {
  const float xa = box.x0 * scale_x + offset_x, xb = box.x1 * scale_x + offset_x;
  const float ya = box.y0 * scale_y + offset_y, yb = box.y1 * scale_y + offset_y;
  return scale_x < 0 ? Box{xb, ya, xa, yb} : Box{xa, ya, xb, yb};
}

Box CanvasMap::to_image(const Box& box) const {
  const float xa = (box.x0 - offset_x) / scale_x, xb = (box.x1 - offset_x) / scale_x;
  const float ya = (box.y0 - offset_y) / scale_y, yb = (box.y1 - offset_y) / scale_y;
  return scale_x < 0 ? Box{xb, ya, xa, yb} : Box{xa, ya, xb, yb};
}

CanvasMap CanvasMap::then(const CanvasMap& next) const {
  return {scale_x * next.scale_x, scale_y * next.scale_y, offset_x * next.scale_x + next.offset_x,
          offset_y * next.scale_y + next.offset_y};
}

CanvasMap canvas_map(int width, int height, const CanvasOptions& options, const CanvasView& view) {
  return map_of(make_plan(width, height, options, view), width, height, options, view.flip);
}

CanvasImage to_canvas(const Image& image, const CanvasOptions& options, const CanvasView& view) {
  const Plan plan = make_plan(image.full_width(), image.full_height(), options, view);
  ResizeOptions how;
  how.width = plan.x.resized;
  how.height = plan.y.resized;
  how.interpolation = options.interpolation;
  if (image.shrink == 1) {
    how.crop = plan.crop;
  } else {
    how.box = shrunk(plan.crop, image);
  }
  how.window = PixelRect{plan.x.first, plan.y.first, plan.x.kept, plan.y.kept};
  CanvasImage result;
  result.image = resize(image, how);
  if (plan.x.kept < options.width || plan.y.kept < options.height) {
    Image padded(options.width, options.height);
    std::fill(padded.pixels.begin(), padded.pixels.end(), options.fill);
    for (int y = 0; y < result.image.height; ++y) {
      std::memcpy(padded.row(plan.y.pad + y) + 3 * static_cast<size_t>(plan.x.pad),
                  result.image.row(y), 3 * static_cast<size_t>(result.image.width));
    }
    result.image = std::move(padded);
  }
  if (view.flip) mirror(result.image);
  result.map = map_of(plan, image.full_width(), image.full_height(), options, view.flip);
  return result;
}

MappedBoxes map_boxes(std::span<const Box> boxes, const CanvasMap& map, int width, int height,
                      const BoxFilter& filter) {
  MappedBoxes result;
  for (size_t i = 0; i < boxes.size(); ++i) {
    const Box whole = map.to_canvas(boxes[i]);
    const Box visible = clip_to_unit(whole);
    const float sides = std::min(visible.width() * static_cast<float>(width),
                                 visible.height() * static_cast<float>(height));
    // Written so that a box that is not finite fails.
    const bool keep = whole.finite() && visible.area() > 0 && sides >= filter.min_side_px &&
                      visible.area() >= filter.min_visible * whole.area();
    if (!keep) continue;
    result.boxes.push_back(visible);
    result.source.push_back(static_cast<int>(i));
  }
  return result;
}

}  // namespace opencloc

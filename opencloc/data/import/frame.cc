#include "opencloc/data/import/frame.h"

#include <algorithm>

#include "opencloc/image/exif.h"

namespace opencloc {
namespace {

constexpr std::string_view kTurnUnclear =
    "EXIF turns the picture; whether its boxes are turned is not said";

// Whether a picture of w x h may have been made from one of the other size, rounded to whole
// pixels.
bool same_shape(double w, double h, double other_w, double other_h) {
  const double low = std::max((w - 1) / other_w, (h - 1) / other_h);
  const double high = std::min((w + 1) / other_w, (h + 1) / other_h);
  return low <= high;
}

}  // namespace

std::optional<Frame> frame_of(const BoxSource& boxes, const StoredSize& picture,
                              SkipCounter& skips) {
  const double w = picture.width, h = picture.height;
  const bool given = boxes.width > 0 && boxes.height > 0;
  const Frame as_stored = given ? Frame{boxes.width, boxes.height, 1} : Frame{w, h, 1};
  const bool quarter = is_quarter_turn(picture.orientation);
  const bool fits = same_shape(w, h, as_stored.width, as_stored.height);
  const bool fits_turned = same_shape(h, w, as_stored.width, as_stored.height);
  const bool exact = as_stored.width == w && as_stored.height == h;
  if (given && quarter && fits_turned && !exact && !(fits && w == h)) {
    return Frame{boxes.width, boxes.height, picture.orientation};
  }
  if (!fits) return std::nullopt;
  // The size tells of a quarter turn alone, where it is given and not that of a square.
  const bool told = given && quarter && w != h;
  if (picture.orientation != 1 && !told && boxes.has_boxes) {
    skips.note(kTurnUnclear, boxes.name, "the boxes are taken as of the stored picture");
  }
  return as_stored;
}

Box to_unit(const Box& box, const Frame& frame) {
  const auto x = [&](float v) { return static_cast<float>(v / frame.width); };
  const auto y = [&](float v) { return static_cast<float>(v / frame.height); };
  return box_as_stored({x(box.x0), y(box.y0), x(box.x1), y(box.y1)}, frame.orientation);
}

bool sticks_out(const Box& unit, double width, double height) {
  const Box clipped = clip_to_unit(unit);
  const double over = std::max(std::max(clipped.x0 - unit.x0, unit.x1 - clipped.x1) * width,
                               std::max(clipped.y0 - unit.y0, unit.y1 - clipped.y1) * height);
  return over > 0.5;
}

}  // namespace opencloc

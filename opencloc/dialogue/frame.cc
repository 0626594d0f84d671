#include "opencloc/dialogue/frame.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "opencloc/base/error.h"
#include "opencloc/dialogue/scan_boxes.h"

namespace opencloc {
namespace {

using Four = std::array<double, 4>;

// A float of 0.29 is a little less than 0.29: without this 290 thousandths would become 289.
constexpr double kFloatSlack = 1e-3;

int64_t cut_off(double value, int64_t last) {
  return std::clamp<int64_t>(static_cast<int64_t>(std::floor(value + kFloatSlack)), 0, last);
}
int64_t rounded(double value, int64_t last) {
  return std::clamp<int64_t>(static_cast<int64_t>(std::lround(value)), 0, last);
}

// As Python writes round(value, 2): 0.3, 0.58, 1.0.
std::string hundredths(double value) {
  char digits[16];
  std::snprintf(digits, sizeof digits, "%.2f", std::clamp(value, 0.0, 1.0));
  std::string text = digits;
  if (text.back() == '0') text.pop_back();
  return text;
}

struct Square {
  double side, left, top;  // pixels
};
Square square_of(PictureSize picture) {
  const int side = std::max(picture.width, picture.height);
  return {static_cast<double>(side), static_cast<double>((side - picture.width) / 2),
          static_cast<double>((side - picture.height) / 2)};
}

// x or y of a box -> the number that the frame writes, as text.
std::string number_text(double value, bool is_x, PictureSize picture, const FrameOptions& options) {
  switch (options.frame) {
    case Frame::kFerret:
      return std::to_string(cut_off(1000 * value, 999));
    case Frame::kLlava: {
      const Square square = square_of(picture);
      const double pixels = value * (is_x ? picture.width : picture.height);
      return hundredths((pixels + (is_x ? square.left : square.top)) / square.side);
    }
    case Frame::kQwen25: {
      const PictureSize size = qwen_resized(picture, options.min_pixels, options.max_pixels);
      const int side = is_x ? size.width : size.height;
      return std::to_string(rounded(value * side, side));
    }
    case Frame::kQwen2:
      return std::to_string(rounded(1000 * value, 999));
    case Frame::kQwen3:
    case Frame::kInternvl:
      return std::to_string(rounded(1000 * value, 1000));
  }
  return {};
}

// The numbers of a text, in the frame's unit -> [0, 1] of the stored picture, clipped.
Box box_of(const Four& v, PictureSize picture, const FrameOptions& options) {
  double over_x = 1000, over_y = 1000;
  if (options.frame == Frame::kLlava) {
    const auto f = [&v](size_t i) { return static_cast<float>(v[i]); };
    return clip_to_unit(from_padded_square({f(0), f(1), f(2), f(3)}, picture));
  }
  if (options.frame == Frame::kQwen25) {
    const PictureSize size = qwen_resized(picture, options.min_pixels, options.max_pixels);
    over_x = size.width;
    over_y = size.height;
  }
  return clip_to_unit({static_cast<float>(v[0] / over_x), static_cast<float>(v[1] / over_y),
                       static_cast<float>(v[2] / over_x), static_cast<float>(v[3] / over_y)});
}

double nearest_multiple(double value, int factor) {
  return std::nearbyint(value / factor) * factor;  // halves to the even one, as Python rounds
}

}  // namespace

PictureSize qwen_resized(PictureSize picture, int64_t min_pixels, int64_t max_pixels) {
  constexpr int kFactor = 28;
  constexpr int kMostRatio = 200;
  const double width = picture.width, height = picture.height;
  if (std::min(width, height) < 1 ||
      std::max(width, height) / std::min(width, height) > kMostRatio) {
    throw Error::input("a picture this long and thin is refused by Qwen",
                       std::to_string(picture.width) + " x " + std::to_string(picture.height),
                       "leave it out or cut it");
  }
  double w = std::max<double>(kFactor, nearest_multiple(width, kFactor));
  double h = std::max<double>(kFactor, nearest_multiple(height, kFactor));
  if (w * h > static_cast<double>(max_pixels)) {
    const double beta = std::sqrt(width * height / static_cast<double>(max_pixels));
    w = std::max<double>(kFactor, std::floor(width / beta / kFactor) * kFactor);
    h = std::max<double>(kFactor, std::floor(height / beta / kFactor) * kFactor);
  } else if (w * h < static_cast<double>(min_pixels)) {
    const double beta = std::sqrt(static_cast<double>(min_pixels) / (width * height));
    w = std::ceil(width * beta / kFactor) * kFactor;
    h = std::ceil(height * beta / kFactor) * kFactor;
  }
  return {static_cast<int>(w), static_cast<int>(h)};
}

Box to_padded_square(const Box& box, PictureSize picture) {
  const Square square = square_of(picture);
  const auto x = [&](float v) {
    return static_cast<float>((v * picture.width + square.left) / square.side);
  };
  const auto y = [&](float v) {
    return static_cast<float>((v * picture.height + square.top) / square.side);
  };
  return {x(box.x0), y(box.y0), x(box.x1), y(box.y1)};
}

Box from_padded_square(const Box& box, PictureSize picture) {
  const Square square = square_of(picture);
  const auto x = [&](float v) {
    return static_cast<float>((v * square.side - square.left) / picture.width);
  };
  const auto y = [&](float v) {
    return static_cast<float>((v * square.side - square.top) / picture.height);
  };
  return {x(box.x0), y(box.y0), x(box.x1), y(box.y1)};
}

std::string frame_text(const Box& box, PictureSize picture, const FrameOptions& options) {
  const auto x = [&](float v) { return number_text(v, true, picture, options); };
  const auto y = [&](float v) { return number_text(v, false, picture, options); };
  if (options.frame == Frame::kQwen2) {
    return "<|box_start|>(" + x(box.x0) + "," + y(box.y0) + "),(" + x(box.x1) + "," + y(box.y1) +
           ")<|box_end|>";
  }
  const std::string list =
      "[" + x(box.x0) + ", " + y(box.y0) + ", " + x(box.x1) + ", " + y(box.y1) + "]";
  return options.frame == Frame::kInternvl ? "<box>[" + list + "]</box>" : list;
}

std::string frame_text(const PicturePoint& point, PictureSize picture,
                       const FrameOptions& options) {
  const std::string x = number_text(point.x, true, picture, options);
  const std::string y = number_text(point.y, false, picture, options);
  return options.frame == Frame::kQwen2 ? "(" + x + "," + y + ")" : "[" + x + ", " + y + "]";
}

std::vector<FoundBox> find_boxes(std::string_view text, PictureSize picture,
                                 const FrameOptions& options) {
  std::vector<FoundBox> found;
  for (const NumberedBox& box : scan_boxes(text))
    found.push_back({box.phrase, box_of(box.numbers, picture, options)});
  return found;
}

}  // namespace opencloc

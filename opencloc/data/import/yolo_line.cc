#include "opencloc/data/import/yolo_line.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <span>

#include "opencloc/base/text_file.h"

namespace opencloc {
namespace {

constexpr double kOver = 0.01;  // how far exporters round over the edge

bool is_whole(double value) { return value == std::floor(value) && std::abs(value) < 9e15; }
bool is_share(double value) { return value >= 0 && value <= 1; }
bool is_coordinate(double value) { return value >= -kOver && value <= 1 + kOver; }
bool all_coordinates(std::span<const double> values) {
  return std::all_of(values.begin(), values.end(), is_coordinate);
}

bool read_numbers(std::string_view line, std::vector<double>& values) {
  for (line = trimmed(line); !line.empty(); line = trimmed(line)) {
    if (line.starts_with('+')) line.remove_prefix(1);
    double value = 0;
    const auto read = std::from_chars(line.data(), line.data() + line.size(), value);
    if (read.ec != std::errc() || !std::isfinite(value)) return false;
    line.remove_prefix(static_cast<size_t>(read.ptr - line.data()));
    if (!line.empty() && line[0] != ' ' && line[0] != '\t') return false;
    values.push_back(value);
  }
  return true;
}

// Corners of cx, cy, w, h.
Box box_of_center(std::span<const double> v) {
  return {static_cast<float>(v[0] - v[2] / 2), static_cast<float>(v[1] - v[3] / 2),
          static_cast<float>(v[0] + v[2] / 2), static_cast<float>(v[1] + v[3] / 2)};
}

Box box_around(std::span<const double> points) {
  double x0 = points[0], y0 = points[1], x1 = x0, y1 = y0;
  for (size_t i = 2; i + 1 < points.size(); i += 2) {
    x0 = std::min(x0, points[i]);
    y0 = std::min(y0, points[i + 1]);
    x1 = std::max(x1, points[i]);
    y1 = std::max(y1, points[i + 1]);
  }
  return {static_cast<float>(x0), static_cast<float>(y0), static_cast<float>(x1),
          static_cast<float>(y1)};
}

// Score, track or both behind a box; false when they are neither.
bool take_rest(std::span<const double> rest, YoloLine& line) {
  if (rest.size() > 2) return false;
  if (!rest.empty() && is_share(rest[0])) {
    line.score = static_cast<float>(rest[0]);
    rest = rest.subspan(1);
  }
  if (rest.size() == 1 && is_whole(rest[0]) && rest[0] >= 0) {
    line.track = rest[0];
    rest = rest.subspan(1);
  }
  return rest.empty();
}

// A box with x, y, visible of keypoints inside it, as pose labels are without their kpt_shape.
bool looks_like_keypoints(std::span<const double> v) {
  if (v.size() < 7 || (v.size() - 4) % 3 != 0) return false;
  const Box box = box_of_center(v);
  if (box.area() <= 0 || box.x0 < -kOver || box.y0 < -kOver || box.x1 > 1 + kOver ||
      box.y1 > 1 + kOver) {
    return false;
  }
  for (size_t i = 4; i < v.size(); i += 3) {
    const double visible = v[i + 2];
    if (visible != 0 && visible != 1 && visible != 2) return false;
    const bool inside = v[i] >= box.x0 - 0.05 && v[i] <= box.x1 + 0.05 &&
                        v[i + 1] >= box.y0 - 0.05 && v[i + 1] <= box.y1 + 0.05;
    if (visible > 0 && !inside) return false;
  }
  return true;
}

void read_box(std::span<const double> v, std::span<const double> rest, YoloLine& line) {
  line.box = box_of_center(v);
  if (!all_coordinates(v.subspan(0, 4))) {
    line.problem = "the box is not in [0, 1] of the picture (pixels?)";
  } else if (!take_rest(rest, line)) {
    line.problem = "what follows the box is neither a score in [0, 1] nor a track";
  }
}

void read_polygon(std::span<const double> v, YoloLine& line) {
  if (looks_like_keypoints(v)) {
    line.problem = "looks like keypoints: write kpt_shape into data.yaml and name it";
    return;
  }
  if (v.size() % 2 == 1) {
    if (!is_share(v.back())) {
      line.problem = "neither a box nor a polygon";
      return;
    }
    line.score = static_cast<float>(v.back());
    v = v.first(v.size() - 1);
  }
  line.box = box_around(v);
  line.is_polygon = true;
  if (!all_coordinates(v)) line.problem = "the polygon is not in [0, 1] of the picture (pixels?)";
}

}  // namespace

YoloLine parse_yolo_line(std::string_view text, const YoloForm& form) {
  YoloLine line;
  std::vector<double> numbers;
  if (!read_numbers(text, numbers) || numbers.size() < 5) {
    line.problem = "not 'class cx cy w h'";
    return line;
  }
  if (!is_whole(numbers[0]) || numbers[0] < 0) {
    line.problem = "the class is not a whole number";
    return line;
  }
  line.class_number = static_cast<size_t>(numbers[0]);
  const std::span<const double> v = std::span<const double>(numbers).subspan(1);
  const size_t points = form.keypoints * form.keypoint_size;
  if (v.size() == 4) {
    read_box(v, {}, line);
  } else if (points > 0) {
    if (v.size() >= 4 + points && v.size() <= 6 + points) {
      read_box(v, v.subspan(4 + points), line);
    } else if (v.size() <= 6) {
      read_box(v, v.subspan(4), line);
    } else {
      line.problem = std::to_string(v.size()) + " numbers, where kpt_shape wants " +
                     std::to_string(4 + points);
    }
  } else if (v.size() == 5) {
    read_box(v, v.subspan(4), line);
  } else if (v.size() == 6) {
    const bool with_track = is_share(v[4]) && is_whole(v[5]) && v[5] >= 0;
    line.is_doubtful = with_track && v[5] <= 1;
    line.triangle = box_around(v);
    if (with_track) {
      read_box(v, v.subspan(4), line);
    } else {
      read_polygon(v, line);
    }
  } else {
    read_polygon(v, line);
  }
  return line;
}

}  // namespace opencloc

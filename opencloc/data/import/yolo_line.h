// A line of a YOLO label file. The form is not written in the file; it follows from the count of
// the numbers, from their range, and from data.yaml.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/image/box.h"

namespace opencloc {

// What data.yaml says of the lines.
struct YoloForm {
  size_t keypoints = 0;      // kpt_shape: [keypoints, keypoint_size]; 0 = it does not say
  size_t keypoint_size = 0;  // 2 = x, y; 3 = x, y, visible
};

struct YoloLine {
  size_t class_number = 0;
  Box box;  // corners in [0, 1]
  float score = 1;
  bool is_polygon = false;
  std::optional<double> track;  // an object's number in a video
  // Six numbers whose last one is 0 or 1: a box with score and track, or a triangle. The box is
  // that of the first reading, `triangle` that of the second.
  bool is_doubtful = false;
  Box triangle;
  std::string problem;  // why the line cannot be used; empty when it can
};

// class cx cy w h [score] [track]
// class cx cy w h keypoints [score] [track]   with kpt_shape
// class x1 y1 x2 y2 x3 y3 ... [score]         without kpt_shape
YoloLine parse_yolo_line(std::string_view line, const YoloForm& form);

}  // namespace opencloc

// The frame that the boxes of an annotation count in, and how they come from it to [0, 1] of the
// stored picture.
#pragma once

#include <optional>
#include <string>

#include "opencloc/data/shard/skips.h"
#include "opencloc/image/box.h"

namespace opencloc {

struct Frame {
  double width = 0;  // pixels
  double height = 0;
  int orientation = 1;  // EXIF's, where the boxes are of the turned picture
};

// What is said of the boxes of one picture.
struct BoxSource {
  double width = 0;  // of the picture as the boxes count it; 0 = not said
  double height = 0;
  std::string name;       // of the picture, for the log
  bool has_boxes = true;  // without boxes a turn is no doubt
};

struct StoredSize {
  int width = 0;
  int height = 0;
  int orientation = 1;  // EXIF's
};

// Annotation files say which size they count in. Where that is not the size of the picture, it may
// be scaled, or be the size as EXIF turns it; nothing when it is that of another picture.
std::optional<Frame> frame_of(const BoxSource& boxes, const StoredSize& picture,
                              SkipCounter& skips);
// Pixels of the frame -> [0, 1] of the stored picture. Not clipped.
Box to_unit(const Box& box, const Frame& frame);
// By more than half a pixel of a picture of that size: less is rounding, not worth a count.
bool sticks_out(const Box& unit, double width, double height);

}  // namespace opencloc

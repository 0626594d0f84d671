// Boxes of a training canvas, and what a picture shows in them: the crops that a teacher reads
// (objective/crop_teacher.h).
#pragma once

#include <vector>

#include "opencloc/base/rng.h"
#include "opencloc/image/box.h"
#include "opencloc/image/canvas.h"

namespace opencloc {

struct BoxCrop {
  Box box;      // of the canvas
  Image image;  // what it holds, on a canvas of its own
};

// Each second one is one of `objects`, where there are any; the others are anywhere within
// `content`, with sides of a sixth of it to all of it, small ones as likely as large ones
// (CLIPSelf's grids have 1 to 6 boxes along a side: Wu et al., ICLR 2024). What is drawn follows
// from the generator alone.
std::vector<Box> boxes_to_crop(const std::vector<Box>& objects, const Box& content, int64_t count,
                               Rng& rng);

// The pixels of `picture` that lie in a box of the canvas that `map` leads to, mirrored as they are
// there: at least one, whole ones.
Image crop_of_box(const Image& picture, const CanvasMap& map, const Box& box,
                  const CanvasOptions& canvas);

}  // namespace opencloc

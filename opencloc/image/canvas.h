// From a picture of any size to the model's input canvas, and the map its boxes move along.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "opencloc/image/box.h"
#include "opencloc/image/image.h"
#include "opencloc/image/resize.h"

namespace opencloc {

// open_clip's resize_mode: "longest", "shortest", "squash"; and one of other people's evaluations.
enum class CanvasRule {
  kLongest,   // longest side fits, the rest is padded on both sides alike (the paper's)
  kShortest,  // shortest side fits, the rest is cut off on both sides alike (CLIP's)
  kSquash,    // both sides fit, the aspect ratio changes
  kCorner     // as kLongest, with the picture in the top left corner (CLIPSelf's evaluation; no
              // model asks for it)
};

struct CanvasOptions {
  int width = 224;
  int height = 224;
  CanvasRule rule = CanvasRule::kShortest;
  Interpolation interpolation = Interpolation::kBicubic;
  uint8_t fill = 0;  // colour of the padding
};

// The part of a picture that goes onto the canvas, and whether it is mirrored.
struct CanvasView {
  std::optional<PixelRect> crop = std::nullopt;
  bool flip = false;  // left and right change places, after everything else
};

// Where the picture lies on the canvas, both in [0, 1]: canvas = image * scale + offset.
// scale_x < 0 = mirrored. The box functions keep x0 <= x1 and do not clip.
struct CanvasMap {
  float scale_x = 1, scale_y = 1, offset_x = 0, offset_y = 0;

  Box to_canvas(const Box& image_box) const;
  Box to_image(const Box& canvas_box) const;
  // First this map, then `next`.
  CanvasMap then(const CanvasMap& next) const;
};

struct CanvasImage {
  Image image;
  CanvasMap map;
};

// The rounding is open_clip's and torchvision's (docs/reference/images.md). Throws Error (input)
// for a canvas or crop that makes no sense. Thread-safe.
CanvasImage to_canvas(const Image& image, const CanvasOptions& options,
                      const CanvasView& view = {});

// The map alone, for a picture of this size.
CanvasMap canvas_map(int width, int height, const CanvasOptions& options,
                     const CanvasView& view = {});

// When a box that was cut by the canvas still counts.
struct BoxFilter {
  float min_visible = 0.3f;  // share of its area that lies on the canvas
  float min_side_px = 2;     // of the visible part, in canvas pixels
};

struct MappedBoxes {
  std::vector<Box> boxes;   // on the canvas, clipped to it
  std::vector<int> source;  // index of the box in the input, ascending
};

// Moves boxes along, clips them, drops those of which too little is left (and empty ones).
// `width`, `height`: of the canvas, for BoxFilter::min_side_px.
MappedBoxes map_boxes(std::span<const Box> boxes, const CanvasMap& map, int width, int height,
                      const BoxFilter& filter = {});

}  // namespace opencloc

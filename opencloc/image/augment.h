// Training augmentation: random resized crop, flip, mosaic. Deterministic: all chance comes from
// the Rng passed in. Boxes follow through the returned CanvasMap and map_boxes(). Nothing
// photometric: CLIP-style training does not use it.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "opencloc/base/rng.h"
#include "opencloc/image/canvas.h"

namespace opencloc {

// Defaults are open_clip's.
struct AugmentOptions {
  double scale_min = 0.9;  // share of the picture's area that is kept
  double scale_max = 1.0;
  double ratio_min = 3.0 / 4;  // width / height of the crop
  double ratio_max = 4.0 / 3;
  // Keep 0 for pictures whose texts name directions: see mentions_direction().
  double flip_probability = 0;
};

// torchvision's RandomResizedCrop.get_params: ten tries, then the largest centred crop whose ratio
// is allowed. Always takes the same number of random values. Throws Error (input) for options that
// make no sense.
PixelRect random_crop(int width, int height, const AugmentOptions& options, Rng& rng);

// A random crop (and flip) put onto the canvas. With CanvasRule::kSquash this is torchvision's
// RandomResizedCrop; the other rules keep the crop's aspect ratio.
CanvasImage augment(const Image& image, const CanvasOptions& canvas, const AugmentOptions& options,
                    Rng& rng);

struct Mosaic {
  Image image;
  std::vector<CanvasMap> maps;  // of each tile's picture onto the whole mosaic, row by row
};

// grid x grid pictures on one canvas of `canvas.width` x `canvas.height`, row by row; each tile is
// filled by `canvas.rule`. Boxes that a tile cuts off (kShortest) must be clipped to the tile
// first: use map_tile_boxes(). Throws Error (input) unless images.size() == grid * grid.
Mosaic make_mosaic(std::span<const Image* const> images, int grid, const CanvasOptions& canvas);

// As map_boxes() for tile `index` of a mosaic: clipped to the tile, not only to the mosaic.
MappedBoxes map_tile_boxes(std::span<const Box> boxes, const Mosaic& mosaic, int grid, int index,
                           const BoxFilter& filter = {});

// True when a text says left, right or a word that a mirrored picture makes wrong: flip must be off
// for the sample. Whole words, any case.
bool mentions_direction(std::string_view text);

}  // namespace opencloc

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
// is allowed. Throws Error (input) for options that make no sense.
PixelRect random_crop(int width, int height, const AugmentOptions& options, Rng& rng);

// A random crop (and flip) put onto the canvas. With CanvasRule::kSquash this is torchvision's
// RandomResizedCrop; the other rules keep the crop's aspect ratio.
CanvasImage augment(const Image& image, const CanvasOptions& canvas, const AugmentOptions& options,
                    Rng& rng);

struct MosaicTile {
  CanvasMap map;  // of the tile's picture onto the whole mosaic
  Box area;       // the tile on the mosaic, in [0, 1]
};

struct Mosaic {
  Image image;
  std::vector<MosaicTile> tiles;  // row by row
};

// grid x grid pictures on one canvas of `canvas.width` x `canvas.height`, row by row; each tile is
// filled by `canvas.rule`. Throws Error (input) unless images.size() == grid * grid.
Mosaic make_mosaic(std::span<const Image* const> images, int grid, const CanvasOptions& canvas);

// The same with cuts of one's own: rows of tiles, each row with its own cuts. Pixels.
struct MosaicCuts {
  std::vector<int> rows;                  // grid + 1 ascending, from 0 to the canvas's height
  std::vector<std::vector<int>> columns;  // of each row: grid + 1 ascending, from 0 to the width
};
MosaicCuts even_cuts(int grid, const CanvasOptions& canvas);
// Tiles that are at least `least` (in (0, 1]) of an even tile high and wide, all such cuts alike.
MosaicCuts free_cuts(int grid, const CanvasOptions& canvas, double least, Rng& rng);
Mosaic make_mosaic(std::span<const Image* const> images, const MosaicCuts& cuts,
                   const CanvasOptions& canvas);

// As map_boxes() for the picture of tile `index`: clipped to its tile, not only to the mosaic.
MappedBoxes map_tile_boxes(std::span<const Box> boxes, const Mosaic& mosaic, size_t index,
                           const BoxFilter& filter = {});

// True when a text says left, right or a word that a mirrored picture makes wrong: flip must be off
// for the sample. Whole words, any case.
bool mentions_direction(std::string_view text);

}  // namespace opencloc

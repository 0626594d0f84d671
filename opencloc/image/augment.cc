#include "opencloc/image/augment.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstring>
#include <string>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

void check(const AugmentOptions& options) {
  const bool good = options.scale_min > 0 && options.scale_min <= options.scale_max &&
                    options.scale_max <= 1 && options.ratio_min > 0 &&
                    options.ratio_min <= options.ratio_max && options.flip_probability >= 0 &&
                    options.flip_probability <= 1;
  if (!good) {
    throw Error::input("the ranges of the random crop make no sense", "augmentation",
                       "0 < scale_min <= scale_max <= 1, 0 < ratio_min <= ratio_max, "
                       "flip probability in 0..1");
  }
}

int round_to_int(double x) { return static_cast<int>(std::nearbyint(x)); }

// The largest centred crop whose ratio is allowed.
PixelRect centred_crop(int width, int height, const AugmentOptions& options) {
  const double ratio = static_cast<double>(width) / height;
  int w = width, h = height;
  if (ratio < options.ratio_min) {
    h = std::clamp(round_to_int(width / options.ratio_min), 1, height);
  } else if (ratio > options.ratio_max) {
    w = std::clamp(round_to_int(height * options.ratio_max), 1, width);
  }
  return {(width - w) / 2, (height - h) / 2, w, h};
}

}  // namespace

PixelRect random_crop(int width, int height, const AugmentOptions& options, Rng& rng) {
  check(options);
  const double area = static_cast<double>(width) * height;
  const double log_min = std::log(options.ratio_min), log_max = std::log(options.ratio_max);
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double target = area * rng.uniform(options.scale_min, options.scale_max);
    const double ratio = std::exp(rng.uniform(log_min, log_max));
    const int w = round_to_int(std::sqrt(target * ratio));
    const int h = round_to_int(std::sqrt(target / ratio));
    if (w < 1 || w > width || h < 1 || h > height) continue;
    const int y = static_cast<int>(rng.below(static_cast<uint64_t>(height - h) + 1));
    const int x = static_cast<int>(rng.below(static_cast<uint64_t>(width - w) + 1));
    return {x, y, w, h};
  }
  return centred_crop(width, height, options);
}

CanvasImage augment(const Image& image, const CanvasOptions& canvas, const AugmentOptions& options,
                    Rng& rng) {
  CanvasView view;
  view.crop = random_crop(image.full_width(), image.full_height(), options, rng);
  view.flip = rng.chance(options.flip_probability);
  return to_canvas(image, canvas, view);
}

MosaicCuts even_cuts(int grid, const CanvasOptions& canvas) {
  const auto edges = [grid](int length) {
    std::vector<int> at;
    for (int i = 0; i <= grid; ++i)
      at.push_back(static_cast<int>(static_cast<int64_t>(length) * i / grid));
    return at;
  };
  return {edges(canvas.height),
          std::vector<std::vector<int>>(static_cast<size_t>(grid), edges(canvas.width))};
}

MosaicCuts free_cuts(int grid, const CanvasOptions& canvas, double least, Rng& rng) {
  if (!(least > 0 && least <= 1)) throw Error::input("no share of a tile", "mosaic", "give 0 to 1");
  // What is left of the length when every tile has its least is cut by sorted uniform numbers.
  const auto edges = [&](int length) {
    std::vector<double> parts;
    for (int i = 1; i < grid; ++i) parts.push_back(rng.uniform());
    std::ranges::sort(parts);
    std::vector<int> at = {0};
    for (int i = 1; i < grid; ++i) {
      const double even = static_cast<double>(i) / grid;
      const double share = least * even + (1 - least) * parts[static_cast<size_t>(i - 1)];
      const int edge = static_cast<int>(share * length);
      at.push_back(std::clamp(edge, at.back() + 1, length - (grid - i)));
    }
    at.push_back(length);
    return at;
  };
  MosaicCuts cuts{edges(canvas.height), {}};
  for (int row = 0; row < grid; ++row) cuts.columns.push_back(edges(canvas.width));
  return cuts;
}

Mosaic make_mosaic(std::span<const Image* const> images, int grid, const CanvasOptions& canvas) {
  if (grid < 1 || images.size() != static_cast<size_t>(grid) * grid) {
    throw Error::input("a " + std::to_string(grid) + "x" + std::to_string(grid) +
                           " mosaic cannot be made of " + std::to_string(images.size()) +
                           " pictures",
                       "mosaic");
  }
  if (canvas.width < grid || canvas.height < grid) {
    throw Error::input("the canvas is smaller than the grid", "mosaic", "make it larger");
  }
  return make_mosaic(images, even_cuts(grid, canvas), canvas);
}

Mosaic make_mosaic(std::span<const Image* const> images, const MosaicCuts& cuts,
                   const CanvasOptions& canvas) {
  const int grid = static_cast<int>(cuts.columns.size());
  if (images.size() != static_cast<size_t>(grid) * grid)
    throw Error::input("not one picture a tile", "mosaic");
  Mosaic mosaic;
  mosaic.image = Image(canvas.width, canvas.height);
  const auto width = static_cast<float>(canvas.width), height = static_cast<float>(canvas.height);
  for (int i = 0; i < grid * grid; ++i) {
    const auto row = static_cast<size_t>(i / grid), column = static_cast<size_t>(i % grid);
    const int x0 = cuts.columns[row][column], x1 = cuts.columns[row][column + 1];
    const int y0 = cuts.rows[row], y1 = cuts.rows[row + 1];
    CanvasOptions tile = canvas;
    tile.width = x1 - x0;
    tile.height = y1 - y0;
    const CanvasImage placed = to_canvas(*images[i], tile);
    for (int y = 0; y < tile.height; ++y) {
      std::memcpy(mosaic.image.row(y0 + y) + 3 * static_cast<size_t>(x0), placed.image.row(y),
                  3 * static_cast<size_t>(tile.width));
    }
    const CanvasMap place{static_cast<float>(tile.width) / width,
                          static_cast<float>(tile.height) / height, static_cast<float>(x0) / width,
                          static_cast<float>(y0) / height};
    mosaic.tiles.push_back({placed.map.then(place), place.to_canvas({0, 0, 1, 1})});
  }
  return mosaic;
}

MappedBoxes map_tile_boxes(std::span<const Box> boxes, const Mosaic& mosaic, size_t index,
                           const BoxFilter& filter) {
  const MosaicTile& tile = mosaic.tiles.at(index);
  // The tile as a canvas of its own, so that map_boxes() clips to it.
  const CanvasMap place{tile.area.width(), tile.area.height(), tile.area.x0, tile.area.y0};
  const CanvasMap undo{1 / place.scale_x, 1 / place.scale_y, -place.offset_x / place.scale_x,
                       -place.offset_y / place.scale_y};
  const int width = round_to_int(tile.area.width() * static_cast<float>(mosaic.image.width));
  const int height = round_to_int(tile.area.height() * static_cast<float>(mosaic.image.height));
  MappedBoxes result = map_boxes(boxes, tile.map.then(undo), width, height, filter);
  for (Box& box : result.boxes) box = place.to_canvas(box);
  return result;
}

bool mentions_direction(std::string_view text) {
  constexpr std::array<std::string_view, 13> kWords = {
      "left",      "right",         "leftmost",        "rightmost", "leftward",
      "rightward", "leftwards",     "rightwards",      "lefthand",  "righthand",
      "clockwise", "anticlockwise", "counterclockwise"};
  std::string word;
  for (size_t i = 0; i <= text.size(); ++i) {
    const int c = i < text.size() ? static_cast<unsigned char>(text[i]) : ' ';
    if (std::isalpha(c) || c >= 0x80) {
      word += static_cast<char>(std::tolower(c));
      continue;
    }
    if (std::find(kWords.begin(), kWords.end(), word) != kWords.end()) return true;
    word.clear();
  }
  return false;
}

}  // namespace opencloc

// Glyph pictures of the colour emoji font, and drawing them scaled, turned and mirrored.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "opencloc/data/scenes/names.h"

namespace opencloc {

// Colours multiplied by alpha, so that scaling and blending are plain sums.
struct Sprite {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> rgba;  // [height, width, 4]

  int side() const { return width > height ? width : height; }
  const uint8_t* at(int x, int y) const {
    return rgba.data() + (static_cast<size_t>(y) * static_cast<size_t>(width) + x) * 4;
  }
  uint8_t* at(int x, int y) { return const_cast<uint8_t*>(std::as_const(*this).at(x, y)); }
};

// One glyph cut to its visible part, at falling sizes (each level half the one before).
using SpriteLevels = std::vector<Sprite>;

// The glyphs of a list of names, read when first asked for. Thread-safe.
class SpriteStore {
 public:
  // Sprites larger than `max_side` pixels are not kept. Names whose glyph the font lacks are
  // removed from `names`. Error (input) when the font is missing or has no colour bitmaps.
  SpriteStore(const std::filesystem::path& font, std::vector<EmojiName>& names, int max_side);
  ~SpriteStore();

  // Levels of names[index]; valid as long as the store.
  const SpriteLevels& levels(size_t index) const;

 private:
  struct Font;
  struct Slot {
    char32_t code_point = 0;
    std::once_flag once;
    SpriteLevels levels;
  };
  std::unique_ptr<Font> font_;
  std::unique_ptr<Slot[]> slots_;
  int max_side_;
};

// Where and how an object stands in the picture; pixels and radians.
struct Pose {
  float center_x = 0;
  float center_y = 0;
  float side = 0;   // the longer side of the glyph before it is turned
  float angle = 0;  // clockwise
  bool mirrored = false;
  float stretch = 1;  // of the glyph's width; its height is divided by it
  float slant = 0;    // by which each row is moved, of its distance from the middle
};

// A drawn sprite and the place of its top left pixel, which may lie outside the picture.
struct PlacedSprite {
  int x = 0;
  int y = 0;
  Sprite sprite;
};
PlacedSprite draw_sprite(const SpriteLevels& levels, const Pose& pose);

}  // namespace opencloc

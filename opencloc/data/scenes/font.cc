#include <ft2build.h>
#include FT_FREETYPE_H

#include <algorithm>
#include <cmath>

#include "opencloc/base/error.h"
#include "opencloc/data/scenes/sprite.h"

namespace opencloc {
namespace {

constexpr int kSmallestSide = 16;  // of a level, pixels

// The visible part of a glyph's bitmap, BGRA -> RGBA (both multiplied by alpha).
Sprite cut_bitmap(const FT_Bitmap& bitmap) {
  const auto pixel = [&](int x, int y) {
    return bitmap.buffer + static_cast<ptrdiff_t>(y) * bitmap.pitch + x * 4;
  };
  int x0 = static_cast<int>(bitmap.width);
  int y0 = static_cast<int>(bitmap.rows);
  int x1 = 0;
  int y1 = 0;
  for (int y = 0; y < static_cast<int>(bitmap.rows); ++y) {
    for (int x = 0; x < static_cast<int>(bitmap.width); ++x) {
      if (pixel(x, y)[3] < 16) continue;
      x0 = std::min(x0, x);
      x1 = std::max(x1, x + 1);
      y0 = std::min(y0, y);
      y1 = std::max(y1, y + 1);
    }
  }
  Sprite sprite{std::max(0, x1 - x0), std::max(0, y1 - y0), {}};
  for (int y = y0; y < y1; ++y) {
    for (int x = x0; x < x1; ++x) {
      const unsigned char* from = pixel(x, y);
      sprite.rgba.insert(sprite.rgba.end(), {from[2], from[1], from[0], from[3]});
    }
  }
  return sprite;
}

// Averages areas; `side` is the new longer side, at most the old one.
Sprite shrink(const Sprite& from, int side) {
  const double scale = static_cast<double>(from.side()) / side;
  Sprite to{std::max(1, static_cast<int>(std::lround(from.width / scale))),
            std::max(1, static_cast<int>(std::lround(from.height / scale))),
            {}};
  const double step_x = static_cast<double>(from.width) / to.width;
  const double step_y = static_cast<double>(from.height) / to.height;
  to.rgba.resize(static_cast<size_t>(to.width) * static_cast<size_t>(to.height) * 4);
  for (int y = 0; y < to.height; ++y) {
    for (int x = 0; x < to.width; ++x) {
      const double left = x * step_x;
      const double top = y * step_y;
      double sum[4] = {};
      for (int v = static_cast<int>(top); v < from.height && v < top + step_y; ++v) {
        const double in_y = std::min(v + 1.0, top + step_y) - std::max<double>(v, top);
        for (int u = static_cast<int>(left); u < from.width && u < left + step_x; ++u) {
          const double in_x = std::min(u + 1.0, left + step_x) - std::max<double>(u, left);
          for (int c = 0; c < 4; ++c) sum[c] += in_x * in_y * from.at(u, v)[c];
        }
      }
      for (int c = 0; c < 4; ++c) {
        const double mean = sum[c] / (step_x * step_y);
        to.at(x, y)[c] = static_cast<uint8_t>(std::clamp(std::lround(mean), 0L, 255L));
      }
    }
  }
  return to;
}

}  // namespace

struct SpriteStore::Font {
  FT_Library library = nullptr;
  FT_Face face = nullptr;
  std::mutex mutex;  // a face is for one thread at a time

  explicit Font(const std::filesystem::path& path) {
    if (!std::filesystem::exists(path)) {
      throw Error::input("the colour emoji font is missing", path.string(),
                         "install the package fonts-noto-color-emoji");
    }
    if (FT_Init_FreeType(&library) != 0) throw Error::failed("FreeType did not start", "scenes");
    if (FT_New_Face(library, path.c_str(), 0, &face) != 0 || !FT_HAS_COLOR(face) ||
        face->num_fixed_sizes == 0 || FT_Select_Size(face, 0) != 0) {
      FT_Done_FreeType(library);
      throw Error::input("not a font with colour bitmaps", path.string(),
                         "use NotoColorEmoji.ttf of the package fonts-noto-color-emoji");
    }
  }
  ~Font() { FT_Done_FreeType(library); }
  Font(const Font&) = delete;
  Font& operator=(const Font&) = delete;

  Sprite read(char32_t code_point) {
    const std::lock_guard lock(mutex);
    if (FT_Load_Char(face, code_point, FT_LOAD_COLOR) != 0 ||
        face->glyph->bitmap.pixel_mode != FT_PIXEL_MODE_BGRA) {
      return {};
    }
    return cut_bitmap(face->glyph->bitmap);
  }
};

SpriteStore::SpriteStore(const std::filesystem::path& font, std::vector<EmojiName>& names,
                         int max_side)
    : font_(std::make_unique<Font>(font)), max_side_(max_side) {
  std::erase_if(names, [&](const EmojiName& emoji) {
    return FT_Get_Char_Index(font_->face, emoji.code_point) == 0;
  });
  slots_ = std::make_unique<Slot[]>(names.size());
  for (size_t i = 0; i < names.size(); ++i) slots_[i].code_point = names[i].code_point;
}

SpriteStore::~SpriteStore() = default;

const SpriteLevels& SpriteStore::levels(size_t index) const {
  Slot& slot = slots_[index];
  std::call_once(slot.once, [&] {
    const Sprite whole = font_->read(slot.code_point);
    if (whole.side() == 0) {
      throw Error::input("a glyph of the emoji font is empty or damaged",
                         "code point " + std::to_string(static_cast<uint32_t>(slot.code_point)),
                         "reinstall the package fonts-noto-color-emoji");
    }
    for (int side = std::min(whole.side(), max_side_);; side /= 2) {
      slot.levels.push_back(side == whole.side() ? whole : shrink(whole, side));
      if (side / 2 < kSmallestSide) break;
    }
  });
  return slot.levels;
}

}  // namespace opencloc

#include "opencloc/data/scenes/sprite.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace opencloc {
namespace {

// The level that needs the least scaling, preferring to shrink.
const Sprite& nearest_level(const SpriteLevels& levels, float side) {
  const Sprite* best = &levels.front();
  for (const Sprite& level : levels) {
    if (static_cast<float>(level.side()) >= 0.8F * side) best = &level;
  }
  return *best;
}

// Bilinear value at (x, y) in pixel-index coordinates; nothing outside.
std::array<float, 4> sample(const Sprite& sprite, float x, float y) {
  const auto x0 = static_cast<int>(std::floor(x));
  const auto y0 = static_cast<int>(std::floor(y));
  const float fx = x - static_cast<float>(x0);
  const float fy = y - static_cast<float>(y0);
  std::array<float, 4> sum = {};
  for (int dy = 0; dy < 2; ++dy) {
    for (int dx = 0; dx < 2; ++dx) {
      const int px = x0 + dx;
      const int py = y0 + dy;
      if (px < 0 || py < 0 || px >= sprite.width || py >= sprite.height) continue;
      const float weight = (dx ? fx : 1 - fx) * (dy ? fy : 1 - fy);
      const uint8_t* pixel = sprite.at(px, py);
      for (size_t c = 0; c < 4; ++c) sum[c] += weight * static_cast<float>(pixel[c]);
    }
  }
  return sum;
}

}  // namespace

PlacedSprite draw_sprite(const SpriteLevels& levels, const Pose& pose) {
  const Sprite& source = nearest_level(levels, pose.side);
  const auto width = static_cast<float>(source.width);
  const auto height = static_cast<float>(source.height);
  const float scale = pose.side / static_cast<float>(source.side());
  const float cosine = std::cos(pose.angle);
  const float sine = std::sin(pose.angle);
  const float tall = height / pose.stretch;
  const float wide = width * pose.stretch + std::abs(pose.slant) * tall;
  const float half_x = 0.5F * scale * (std::abs(cosine) * wide + std::abs(sine) * tall);
  const float half_y = 0.5F * scale * (std::abs(sine) * wide + std::abs(cosine) * tall);

  PlacedSprite placed;
  placed.x = static_cast<int>(std::floor(pose.center_x - half_x)) - 1;
  placed.y = static_cast<int>(std::floor(pose.center_y - half_y)) - 1;
  placed.sprite.width = static_cast<int>(std::ceil(pose.center_x + half_x)) + 1 - placed.x;
  placed.sprite.height = static_cast<int>(std::ceil(pose.center_y + half_y)) + 1 - placed.y;
  placed.sprite.rgba.resize(static_cast<size_t>(placed.sprite.width) *
                            static_cast<size_t>(placed.sprite.height) * 4);
  for (int y = 0; y < placed.sprite.height; ++y) {
    for (int x = 0; x < placed.sprite.width; ++x) {
      // From the picture back to the glyph: turn and scale back, then slant, stretch, mirror.
      const float dx = (static_cast<float>(placed.x + x) + 0.5F - pose.center_x) / scale;
      const float dy = (static_cast<float>(placed.y + y) + 0.5F - pose.center_y) / scale;
      float u = cosine * dx + sine * dy;
      float v = cosine * dy - sine * dx;
      u = (u - pose.slant * v) / pose.stretch;
      v *= pose.stretch;
      if (pose.mirrored) u = -u;
      const float from_x = u + 0.5F * width - 0.5F;
      const float from_y = v + 0.5F * height - 0.5F;
      if (from_x <= -1 || from_y <= -1 || from_x >= width || from_y >= height) continue;
      const std::array<float, 4> value = sample(source, from_x, from_y);
      uint8_t* out = placed.sprite.at(x, y);
      for (size_t c = 0; c < 4; ++c) out[c] = static_cast<uint8_t>(std::lround(value[c]));
    }
  }
  return placed;
}

}  // namespace opencloc

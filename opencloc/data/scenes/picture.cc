#include "opencloc/data/scenes/picture.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace opencloc {
namespace {

constexpr uint8_t kSolid = 128;         // alpha from which a pixel belongs to an object
constexpr float kLeastVisible = 0.45F;  // objects that show less are not painted
constexpr float kFairlyHidden = 0.12F;  // hidden share from which hidden_by is set

// Which object shows at each pixel, and what that leaves of each.
class Visibility {
 public:
  Visibility(int size, size_t objects)
      : size_(size),
        objects_(objects),
        owner_(static_cast<size_t>(size) * static_cast<size_t>(size), -1) {}

  // Enters the next object, front to back. False (and nothing entered) when too little of it is
  // left to see; else `object`'s box, visible and hidden_by are set.
  bool enter(const PlacedSprite& placed, int index, SceneObject& object) {
    int total = 0;
    int x0 = size_;
    int y0 = size_;
    int x1 = 0;
    int y1 = 0;
    std::vector<int> hidden(objects_);
    mine_.clear();
    for (int v = 0; v < placed.sprite.height; ++v) {
      for (int u = 0; u < placed.sprite.width; ++u) {
        if (placed.sprite.at(u, v)[3] < kSolid) continue;
        ++total;
        const int x = placed.x + u;
        const int y = placed.y + v;
        if (x < 0 || y < 0 || x >= size_ || y >= size_) continue;
        const size_t at = static_cast<size_t>(y) * static_cast<size_t>(size_) + x;
        if (owner_[at] >= 0) {
          ++hidden[static_cast<size_t>(owner_[at])];
          continue;
        }
        mine_.push_back(at);
        x0 = std::min(x0, x);
        y0 = std::min(y0, y);
        x1 = std::max(x1, x + 1);
        y1 = std::max(y1, y + 1);
      }
    }
    object.visible = total > 0 ? static_cast<float>(mine_.size()) / static_cast<float>(total) : 0;
    if (object.visible < kLeastVisible) return false;
    for (const size_t at : mine_) owner_[at] = static_cast<int8_t>(index);
    const auto side = static_cast<float>(size_);
    object.box = {static_cast<float>(x0) / side, static_cast<float>(y0) / side,
                  static_cast<float>(x1) / side, static_cast<float>(y1) / side};
    const auto most = std::ranges::max_element(hidden);
    if (static_cast<float>(*most) > kFairlyHidden * static_cast<float>(total)) {
      object.hidden_by = static_cast<int>(most - hidden.begin());
    }
    return true;
  }

 private:
  int size_;
  size_t objects_;
  std::vector<int8_t> owner_;
  std::vector<size_t> mine_;
};

// Colours a sprite by its brightness.
void tint(Sprite& sprite, const Color& color) {
  constexpr float kStrength = 0.75F;
  for (size_t i = 0; i < sprite.rgba.size(); i += 4) {
    uint8_t* pixel = &sprite.rgba[i];
    const float alpha = pixel[3];
    const float grey = 0.3F * pixel[0] + 0.59F * pixel[1] + 0.11F * pixel[2];
    for (size_t c = 0; c < 3; ++c) {
      const float coloured = color[c] / 255 * (0.25F * alpha + 0.75F * grey);
      const float mixed = (1 - kStrength) * pixel[c] + kStrength * coloured;
      pixel[c] = static_cast<uint8_t>(std::lround(std::min(mixed, alpha)));
    }
  }
}

// Turns the colours of a sprite about the grey axis, as SVG's hueRotate does.
void turn_hue(Sprite& sprite, float angle) {
  const float c = std::cos(angle), s = std::sin(angle);
  constexpr float kR = 0.213F, kG = 0.715F, kB = 0.072F;
  const float matrix[3][3] = {
      {kR + c * (1 - kR) - s * kR, kG - c * kG - s * kG, kB - c * kB + s * (1 - kB)},
      {kR - c * kR + s * 0.143F, kG + c * (1 - kG) + s * 0.140F, kB - c * kB - s * 0.283F},
      {kR - c * kR - s * (1 - kR), kG - c * kG + s * kG, kB + c * (1 - kB) + s * kB}};
  for (size_t i = 0; i < sprite.rgba.size(); i += 4) {
    uint8_t* pixel = &sprite.rgba[i];
    const float from[3] = {static_cast<float>(pixel[0]), static_cast<float>(pixel[1]),
                           static_cast<float>(pixel[2])};
    for (size_t row = 0; row < 3; ++row) {
      const float turned =
          matrix[row][0] * from[0] + matrix[row][1] * from[1] + matrix[row][2] * from[2];
      pixel[row] =
          static_cast<uint8_t>(std::lround(std::clamp(turned, 0.0F, static_cast<float>(pixel[3]))));
    }
  }
}

void paint(Image& image, const PlacedSprite& placed, float opacity) {
  const int x0 = std::max(0, placed.x);
  const int x1 = std::min(image.width, placed.x + placed.sprite.width);
  const int y1 = std::min(image.height, placed.y + placed.sprite.height);
  for (int y = std::max(0, placed.y); y < y1; ++y) {
    for (int x = x0; x < x1; ++x) {
      const uint8_t* from = placed.sprite.at(x - placed.x, y - placed.y);
      uint8_t* to = image.row(y) + static_cast<size_t>(x) * 3;
      const float rest = 1 - opacity * static_cast<float>(from[3]) / 255;
      for (size_t c = 0; c < 3; ++c) {
        const float mixed = opacity * static_cast<float>(from[c]) + rest * to[c];
        to[c] = static_cast<uint8_t>(std::min(255L, std::lround(mixed)));
      }
    }
  }
}

}  // namespace

void paint_objects(Image& image, const SpriteStore& sprites, std::vector<SceneObject>& objects) {
  // Front to back, so that a removed object hides nothing.
  std::vector<PlacedSprite> placed(objects.size());
  std::vector<int> kept_as(objects.size(), -1);
  Visibility visibility(image.width, objects.size());
  for (size_t i = objects.size(); i-- > 0;) {
    placed[i] = draw_sprite(sprites.levels(objects[i].name), objects[i].pose);
    if (visibility.enter(placed[i], static_cast<int>(i), objects[i])) kept_as[i] = 0;
  }
  std::vector<SceneObject> kept;
  for (size_t i = 0; i < objects.size(); ++i) {
    if (kept_as[i] < 0) continue;
    kept_as[i] = static_cast<int>(kept.size());
    kept.push_back(objects[i]);
    if (objects[i].hue != 0) turn_hue(placed[i].sprite, objects[i].hue);
    if (objects[i].tinted) tint(placed[i].sprite, objects[i].tint);
    paint(image, placed[i], objects[i].opacity);
  }
  for (SceneObject& object : kept) {
    if (object.hidden_by >= 0) object.hidden_by = kept_as[static_cast<size_t>(object.hidden_by)];
  }
  objects = std::move(kept);
}

}  // namespace opencloc

#include "opencloc/data/scenes/background.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <string_view>
#include <vector>

namespace opencloc {
namespace {

struct NamedColor {
  std::string_view name;
  Color color;
};
// A little dull on purpose: the objects are bright.
constexpr NamedColor kPalette[] = {
    {"red", {178, 62, 58}},     {"orange", {222, 142, 70}}, {"yellow", {226, 206, 104}},
    {"green", {92, 150, 92}},   {"blue", {76, 112, 178}},   {"purple", {128, 92, 160}},
    {"pink", {226, 160, 182}},  {"brown", {128, 96, 70}},   {"grey", {136, 138, 142}},
    {"white", {236, 236, 232}}, {"black", {40, 40, 44}},    {"turquoise", {86, 172, 172}},
};

Color vary(const Color& color, Rng& rng) {
  Color out;
  for (size_t c = 0; c < 3; ++c) {
    out[c] = std::clamp(color[c] + static_cast<float>(rng.uniform(-16, 16)), 0.0F, 255.0F);
  }
  return out;
}

float smooth_step(float t) {
  t = std::clamp(t, 0.0F, 1.0F);
  return t * t * (3 - 2 * t);
}

// How much of the second colour a place shows, 0..1; x and y in [0, 1].
using Pattern = std::function<float(float x, float y)>;

Pattern linear(Rng& rng) {
  const auto angle = static_cast<float>(rng.uniform(0, 6.2832));
  const float c = std::cos(angle);
  const float s = std::sin(angle);
  return [=](float x, float y) { return smooth_step(0.5F + c * (x - 0.5F) + s * (y - 0.5F)); };
}

Pattern radial(Rng& rng) {
  const auto x0 = static_cast<float>(rng.uniform(0.2, 0.8));
  const auto y0 = static_cast<float>(rng.uniform(0.2, 0.8));
  const auto radius = static_cast<float>(rng.uniform(0.5, 0.9));
  return [=](float x, float y) { return smooth_step(std::hypot(x - x0, y - y0) / radius); };
}

// A wave of `waves` periods cut to bands with soft edges.
float band(float t, float waves, float sharpness) {
  return 0.5F + 0.5F * std::tanh(sharpness * std::sin(6.2832F * waves * t));
}

Pattern stripes(Rng& rng) {
  const auto angle = static_cast<float>(rng.uniform(0, 3.1416));
  const auto waves = static_cast<float>(rng.uniform(2, 7));
  const auto phase = static_cast<float>(rng.uniform());
  const auto sharpness = static_cast<float>(rng.uniform(2, 8));
  const float c = std::cos(angle);
  const float s = std::sin(angle);
  return [=](float x, float y) { return band(c * x + s * y + phase, waves, sharpness); };
}

Pattern checks(Rng& rng) {
  const auto angle = static_cast<float>(rng.uniform(-0.8, 0.8));
  const auto waves = static_cast<float>(rng.uniform(1.5, 5));
  const auto phase = static_cast<float>(rng.uniform());
  const float c = std::cos(angle);
  const float s = std::sin(angle);
  return [=](float x, float y) {
    const float u = std::sin(6.2832F * waves * (c * x + s * y + phase));
    const float v = std::sin(6.2832F * waves * (c * y - s * x + phase));
    return 0.5F + 0.5F * std::tanh(8 * u * v);
  };
}

Pattern blobs(Rng& rng) {
  struct Blob {
    float x, y, falloff;
  };
  std::vector<Blob> list(3 + rng.below(6));
  for (Blob& blob : list) {
    const double radius = rng.uniform(0.08, 0.25);
    blob = {static_cast<float>(rng.uniform()), static_cast<float>(rng.uniform()),
            static_cast<float>(1 / (radius * radius))};
  }
  return [list](float x, float y) {
    float sum = 0;
    for (const Blob& blob : list) {
      const float dx = x - blob.x;
      const float dy = y - blob.y;
      sum += std::max(0.0F, 1 - 0.5F * (dx * dx + dy * dy) * blob.falloff);
    }
    return std::min(sum, 1.0F);
  };
}

// Value noise: random values on a grid, smoothly joined, over three octaves.
Pattern clouds(Rng& rng) {
  constexpr int kGrid = 32;
  std::vector<float> values(static_cast<size_t>(kGrid) * kGrid);
  for (float& value : values) value = static_cast<float>(rng.uniform());
  const auto cells = static_cast<float>(rng.uniform(2, 7));
  return [values, cells](float x, float y) {
    float sum = 0;
    float weight = 0.5F;
    float frequency = cells;
    for (int octave = 0; octave < 3; ++octave, weight /= 2, frequency *= 2) {
      const float u = x * frequency;
      const float v = y * frequency;
      const auto i = static_cast<int>(u);
      const auto j = static_cast<int>(v);
      const float fu = smooth_step(u - static_cast<float>(i));
      const float fv = smooth_step(v - static_cast<float>(j));
      const auto at = [&](int a, int b) {
        return values[static_cast<size_t>(b % kGrid) * kGrid + static_cast<size_t>(a % kGrid)];
      };
      sum += weight * ((1 - fv) * ((1 - fu) * at(i, j) + fu * at(i + 1, j)) +
                       fv * ((1 - fu) * at(i, j + 1) + fu * at(i + 1, j + 1)));
    }
    return smooth_step((sum - 0.2F) / 0.5F);
  };
}

struct Kind {
  std::string_view word;  // empty: only one colour is named
  Pattern (*make)(Rng&);
};
constexpr Kind kKinds[] = {{"plain", nullptr},   {"shaded", linear},  {"glowing", radial},
                           {"striped", stripes}, {"checked", checks}, {"spotted", blobs},
                           {"cloudy", clouds}};

}  // namespace

Background draw_background(int size, Rng& rng) {
  const Kind& kind = kKinds[rng.below(std::size(kKinds))];
  const size_t first = rng.below(std::size(kPalette));
  const size_t second = (first + 1 + rng.below(std::size(kPalette) - 1)) % std::size(kPalette);
  const Color from = vary(kPalette[first].color, rng);
  const Color to = vary(kPalette[second].color, rng);

  Background out;
  out.image = Image(size, size);
  out.phrase = "a " + std::string(kPalette[first].name);
  if (kind.make != nullptr) {
    out.phrase += " and " + std::string(kPalette[second].name) + " " + std::string(kind.word);
  }
  if (kPalette[first].name == "orange") out.phrase.insert(1, "n");
  out.phrase += " background";

  const Pattern pattern = kind.make == nullptr ? Pattern() : kind.make(rng);
  const float pixel = 1.0F / static_cast<float>(size);
  for (int y = 0; y < size; ++y) {
    uint8_t* row = out.image.row(y);
    for (int x = 0; x < size; ++x) {
      const float share =
          pattern ? pattern(static_cast<float>(x) * pixel, static_cast<float>(y) * pixel) : 0.0F;
      for (size_t c = 0; c < 3; ++c) {
        row[static_cast<size_t>(x) * 3 + c] =
            static_cast<uint8_t>(std::lround(from[c] + share * (to[c] - from[c])));
      }
    }
  }
  return out;
}

void expose(Image& image, float brightness, float grain, Rng& rng) {
  uint64_t bits = 0;
  for (size_t i = 0; i < image.pixels.size(); ++i) {
    if (i % 4 == 0) bits = rng.next();
    // Four bytes of the same word, summed in pairs: nearly a bell, of unit deviation.
    const auto noise = static_cast<float>((bits & 0xff) + ((bits >> 8) & 0xff)) / 104.5F - 2.44F;
    bits >>= 16;
    const float value = static_cast<float>(image.pixels[i]) * brightness + grain * noise;
    image.pixels[i] = static_cast<uint8_t>(std::clamp(value + 0.5F, 0.0F, 255.0F));
  }
}

}  // namespace opencloc

#include "opencloc/image/photometric.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

namespace opencloc {
namespace {

using Pixel = std::array<float, 3>;
using Pixels = std::vector<Pixel>;  // values in [0, 1]

Pixels to_pixels(const Image& image) {
  Pixels pixels(image.pixels.size() / 3);
  for (size_t i = 0; i < pixels.size(); ++i)
    for (size_t c = 0; c < 3; ++c)
      pixels[i][c] = static_cast<float>(image.pixels[3 * i + c]) / 255.0F;
  return pixels;
}

void to_image(const Pixels& pixels, Image& image) {
  for (size_t i = 0; i < pixels.size(); ++i)
    for (size_t c = 0; c < 3; ++c)
      image.pixels[3 * i + c] =
          static_cast<uint8_t>(std::lround(std::clamp(pixels[i][c], 0.0F, 1.0F) * 255.0F));
}

float grey_of(const Pixel& p) { return 0.2989F * p[0] + 0.587F * p[1] + 0.114F * p[2]; }

// pixel = factor pixel + (1 - factor) other(pixel), clamped.
template <typename Other>
void blend(Pixels& pixels, double factor, Other other) {
  const auto f = static_cast<float>(factor);
  for (Pixel& p : pixels) {
    const float beside = other(p);
    for (float& value : p) value = std::clamp(f * value + (1 - f) * beside, 0.0F, 1.0F);
  }
}

void brighten(Pixels& pixels, double factor) {
  blend(pixels, factor, [](const Pixel&) { return 0.0F; });
}
void contrast(Pixels& pixels, double factor) {
  double sum = 0;
  for (const Pixel& p : pixels) sum += grey_of(p);
  const auto mean =
      static_cast<float>(sum / static_cast<double>(std::max<size_t>(1, pixels.size())));
  blend(pixels, factor, [mean](const Pixel&) { return mean; });
}
void saturate(Pixels& pixels, double factor) { blend(pixels, factor, grey_of); }

// Through hue, saturation and value.
void turn_hue(Pixels& pixels, double turn) {
  if (turn == 0) return;
  for (Pixel& p : pixels) {
    const float high = std::max({p[0], p[1], p[2]}), low = std::min({p[0], p[1], p[2]});
    const float range = high - low;
    if (range <= 0) continue;  // grey has no hue
    float hue = 0;
    if (high == p[0]) {
      hue = (p[1] - p[2]) / range;
    } else if (high == p[1]) {
      hue = 2 + (p[2] - p[0]) / range;
    } else {
      hue = 4 + (p[0] - p[1]) / range;
    }
    hue = hue / 6 + static_cast<float>(turn);
    hue -= std::floor(hue);
    const float sixth = hue * 6, part = sixth - std::floor(sixth);
    const float falling = high - range * part, rising = low + range * part;
    switch (static_cast<int>(std::floor(sixth)) % 6) {
      case 0:
        p = {high, rising, low};
        break;
      case 1:
        p = {falling, high, low};
        break;
      case 2:
        p = {low, high, rising};
        break;
      case 3:
        p = {low, falling, high};
        break;
      case 4:
        p = {rising, low, high};
        break;
      default:
        p = {high, low, falling};
    }
  }
}

using Order = std::array<int, 4>;

void adjust(Pixels& pixels, const ColourFactors& factors, const Order& order) {
  for (const int step : order) {
    if (step == 0) brighten(pixels, factors.brightness);
    if (step == 1) contrast(pixels, factors.contrast);
    if (step == 2) saturate(pixels, factors.saturation);
    if (step == 3) turn_hue(pixels, factors.hue);
  }
}

// A place outside of [0, size), mirrored at the edge's pixel.
int mirrored(int at, int size) {
  if (size == 1) return 0;
  const int period = 2 * (size - 1);
  at = std::abs(at) % period;
  return at < size ? at : period - at;
}

// Along one axis: `stride` pixels from one to the next, `lines` of them.
Pixels blurred_along(const Pixels& pixels, const std::vector<float>& weights, int size, int stride,
                     int lines, int line_stride) {
  const int reach = static_cast<int>(weights.size()) / 2;
  Pixels out(pixels.size());
  for (int line = 0; line < lines; ++line) {
    for (int at = 0; at < size; ++at) {
      Pixel sum{};
      for (int k = -reach; k <= reach; ++k) {
        const auto from = static_cast<size_t>(line * line_stride + mirrored(at + k, size) * stride);
        const float weight = weights[static_cast<size_t>(k + reach)];
        for (size_t c = 0; c < 3; ++c) sum[c] += weight * pixels[from][c];
      }
      out[static_cast<size_t>(line * line_stride + at * stride)] = sum;
    }
  }
  return out;
}

Pixels blurred(const Pixels& pixels, int width, int height, double deviation) {
  const int reach = std::max(1, static_cast<int>(std::ceil(3 * deviation)));
  std::vector<float> weights;
  for (int k = -reach; k <= reach; ++k)
    weights.push_back(static_cast<float>(std::exp(-0.5 * k * k / (deviation * deviation))));
  const float sum = std::accumulate(weights.begin(), weights.end(), 0.0F);
  for (float& weight : weights) weight /= sum;
  return blurred_along(blurred_along(pixels, weights, width, 1, height, width), weights, height,
                       width, width, 1);
}

}  // namespace

void adjust_colours(Image& image, const ColourFactors& factors) {
  Pixels pixels = to_pixels(image);
  adjust(pixels, factors, {0, 1, 2, 3});
  to_image(pixels, image);
}

void blur(Image& image, double deviation) {
  to_image(blurred(to_pixels(image), image.width, image.height, deviation), image);
}

void change_colours(Image& image, const PhotometricOptions& options, Rng& rng) {
  const auto factor = [&rng](double spread) {
    return std::max(0.0, 1 + spread * (2 * rng.uniform() - 1));
  };
  // All are drawn, used or not, so that one choice does not move the others.
  const bool jitter = rng.chance(options.jitter_probability);
  ColourFactors factors;
  factors.brightness = factor(options.brightness);
  factors.contrast = factor(options.contrast);
  factors.saturation = factor(options.saturation);
  factors.hue = options.hue * (2 * rng.uniform() - 1);
  std::vector<int> drawn = {0, 1, 2, 3};
  rng.shuffle(drawn);
  const bool grey = rng.chance(options.grey_probability);
  const bool soft = rng.chance(options.blur_probability);
  const double deviation = options.blur_min + (options.blur_max - options.blur_min) * rng.uniform();

  Pixels pixels = to_pixels(image);
  if (jitter) adjust(pixels, factors, {drawn[0], drawn[1], drawn[2], drawn[3]});
  if (grey) saturate(pixels, 0);
  if (soft) pixels = blurred(pixels, image.width, image.height, deviation);
  to_image(pixels, image);
}

}  // namespace opencloc

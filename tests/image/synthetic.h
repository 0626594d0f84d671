// Small pictures made on the spot, and a checksum for them.
#pragma once

#include <cstdint>

#include "opencloc/base/rng.h"
#include "opencloc/image/image.h"

namespace opencloc {

// Integer arithmetic alone, so that Python makes the same bytes: see golden.py.
inline Image pattern(int width, int height) {
  Image image(width, height);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) {
        image.row(y)[3 * x + c] =
            static_cast<uint8_t>(x * x * (c + 3) + y * 7 * (x + c) + (x ^ y) * 11);
      }
    }
  }
  return image;
}

inline Image noise(int width, int height, uint64_t seed) {
  Rng rng(seed);
  Image image(width, height);
  for (uint8_t& value : image.pixels) value = static_cast<uint8_t>(rng.next());
  return image;
}

// FNV-1a, 64 bits.
inline uint64_t checksum(const Image& image) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const uint8_t value : image.pixels) hash = (hash ^ value) * 0x100000001b3ULL;
  return hash;
}

}  // namespace opencloc

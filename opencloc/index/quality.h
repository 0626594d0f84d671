// The predicted quality of a region (how well its box holds one object) as it is stored, and what a
// search makes of it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace opencloc {

// In 1/65535. Whole pictures, and regions of which nothing is known, have this one: their scores
// are plain cosines.
inline constexpr uint16_t kFullQuality = 65535;

// `quality` in [0, 1].
inline uint16_t stored_quality(float quality) {
  return static_cast<uint16_t>(std::lround(std::clamp(quality, 0.0f, 1.0f) * 65535.0f));
}
inline float quality_of(uint16_t stored) { return static_cast<float>(stored) / 65535.0f; }

// What the cosine of a region is multiplied with, in [0, 1]. Why this: docs/results/search.md.
inline float quality_factor(uint16_t stored) { return std::sqrt(quality_of(stored)); }

}  // namespace opencloc

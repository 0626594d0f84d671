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

// What is added to the cosine of a region: log(quality) / inverse_temperature. That orders regions
// by exp(inverse_temperature cosine) quality, the model's own similarity times the quality: the
// temperature of the contrastive loss says how much a difference of cosines means to this model.
// Why not the cosine times the quality: docs/decisions/quality_head.md.
inline constexpr float kLeastQuality = 0.01f;  // below it a box is as bad as it can be
inline float quality_offset(uint16_t stored, double inverse_temperature) {
  return std::log(std::max(quality_of(stored), kLeastQuality)) /
         static_cast<float>(inverse_temperature);
}

}  // namespace opencloc

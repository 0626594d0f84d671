// How much memory training takes, told before it begins.
#pragma once

#include <cstdint>

#include "opencloc/model/config/config.h"
#include "opencloc/train/config.h"

namespace opencloc {

// What a picture of the data brings along, on average.
struct SampleShape {
  double caption_tokens = 0;  // 0: it has none
  double regions = 0;
  double region_tokens = 0;  // of each region's text
};

// Bytes at the peak, of this process alone: program, weights, gradients and moments; the batch; and
// the activations of what is in memory at a time (with --accum-freq a part of the images, or as
// many texts). `weights`: all of the model's; `trained`: those that learn. Measured against the
// largest resident size in docs/results/training_memory.md.
double estimate_memory(const TrainConfig& config, const ModelConfig& model, int64_t weights,
                       int64_t trained, const SampleShape& sample);

}  // namespace opencloc

// Made-up training batches.
#pragma once

#include "opencloc/data/load/batch.h"
#include "opencloc/model/config/config.h"

namespace opencloc::bench {

struct BatchShape {
  int64_t images = 8;
  int64_t regions_per_image = 4;
  // Ids of a caption and of a region's text, start and end among them: drawn evenly.
  int64_t shortest_caption = 20, longest_caption = 60;
  int64_t shortest_phrase = 4, longest_phrase = 7;
  int64_t distinct_phrases = 1000;
  int64_t start_id = -1;       // -1: no start token
  int64_t end_id = -1;         // -1: the vocabulary's last
  bool mixed_prompts = false;  // boxes, points and masks; else boxes
};
// The same (config, shape, seed) give the same batch. Numbers come from Rng alone.
Batch made_up_batch(const ModelConfig& config, const BatchShape& shape, uint64_t seed);

}  // namespace opencloc::bench

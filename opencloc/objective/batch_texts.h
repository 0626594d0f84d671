// The texts of a training batch, each distinct one once (encode/text_groups.h). Captions and region
// texts go through the text tower together; repeated region texts ("a dog") are encoded once.
#pragma once

#include <cstdint>
#include <vector>

#include <torch/types.h>

#include "opencloc/data/load/batch.h"
#include "opencloc/encode/text_groups.h"

namespace opencloc {

struct TextBatch {
  std::vector<torch::Tensor> groups;  // [u, L] int64 each; all u sum to U
  torch::Tensor captioned;            // [C] int64: the images that have a text. Undefined = all B
  torch::Tensor caption_row;          // [C] int64: row in [0, U) of each one's text
  torch::Tensor region_row;           // [R] int64: row in [0, U) of each region's text
  torch::Tensor negative_row;         // [H] int64: the same of each hard negative

  int64_t size() const;                      // U
  TextBatch to(torch::Device device) const;  // nobody waits
};

// No group has more than `max_rows` texts. What is left out has no rows (and may make U = 0).
struct BatchTexts {
  int64_t max_rows = 4096;
  bool with_captions = true;
  bool with_regions = true;
  bool with_negatives = false;
  bool cut = true;  // false: padding and all, for towers that read it
};
TextBatch distinct_texts(const Batch& batch, const BatchTexts& wanted);

}  // namespace opencloc

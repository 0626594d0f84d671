// What the loader hands to a training step.
#pragma once

#include <string>
#include <vector>

#include <torch/torch.h>

namespace opencloc {

// B images, R regions over all of them (R may be 0).
struct Batch {
  torch::Tensor pixels;        // [B, 3, H, W] float, normalised
  torch::Tensor text_ids;      // [B, T] int64
  torch::Tensor boxes;         // [R, 4] float, of the canvas
  torch::Tensor region_image;  // [R] int64: row of the image
  torch::Tensor region_ids;    // [R, T] int64
  torch::Tensor
      region_text_id;  // [R] int64: equal numbers = equal texts (for the identical-text mask)
  torch::Tensor prompt_kind;              // [R] int64: PromptKind the region is prompted with
                                          // (0 box, 1 point, 2 mask); undefined = all boxes
  torch::Tensor points;                   // [R, K, 2] x, y inside the box; undefined = all boxes
  std::vector<std::string> keys;          // B, "shard#key": names a batch in logs
  std::vector<std::string> texts;         // B
  std::vector<std::string> region_texts;  // R
  int64_t images_with_regions = 0;

  int64_t images() const { return pixels.size(0); }
  int64_t regions() const { return boxes.size(0); }
};

}  // namespace opencloc

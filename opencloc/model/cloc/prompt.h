// Spatial hints for the Prompter. All coordinates are in [0, 1] of the model's input canvas
// (after resize and pad).
#pragma once

#include <torch/types.h>

namespace opencloc {

// What a prompt's tokens are; each kind has its own learned type embedding.
enum class PromptKind : int64_t { kBox = 0, kPoint = 1, kMask = 2, kText = 3 };

// R prompts of one kind over a batch of images.
struct PromptBatch {
  PromptKind kind = PromptKind::kBox;
  // [R] int64: row of the image in the batch. In main memory, whatever the device of the rest:
  // which prompts go together is known before the device computes anything (elsewhere it is read
  // back).
  torch::Tensor image_index;
  torch::Tensor boxes;   // [R, 4], kBox and kMask
  torch::Tensor points;  // [R, K, 2] x, y: K = 1 for kPoint, K sampled inside the mask for kMask
  torch::Tensor text;    // [R, E], not normalised, kText

  int64_t size() const { return image_index.defined() ? image_index.size(0) : 0; }
};

// boxes [R, 4], image_index [R].
PromptBatch box_prompts(const torch::Tensor& boxes, const torch::Tensor& image_index);
PromptBatch point_prompts(const torch::Tensor& points, const torch::Tensor& image_index);
PromptBatch mask_prompts(const torch::Tensor& boxes, const torch::Tensor& points,
                         const torch::Tensor& image_index);
PromptBatch text_prompts(const torch::Tensor& text, const torch::Tensor& image_index);

}  // namespace opencloc

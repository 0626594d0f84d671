#include "opencloc/model/cloc/prompt.h"

namespace opencloc {

PromptBatch box_prompts(const torch::Tensor& boxes, const torch::Tensor& image_index) {
  PromptBatch prompts;
  prompts.kind = PromptKind::kBox;
  prompts.image_index = image_index;
  prompts.boxes = boxes;
  return prompts;
}

PromptBatch point_prompts(const torch::Tensor& points, const torch::Tensor& image_index) {
  PromptBatch prompts;
  prompts.kind = PromptKind::kPoint;
  prompts.image_index = image_index;
  prompts.points = points;
  return prompts;
}

PromptBatch mask_prompts(const torch::Tensor& boxes, const torch::Tensor& points,
                         const torch::Tensor& image_index) {
  PromptBatch prompts;
  prompts.kind = PromptKind::kMask;
  prompts.image_index = image_index;
  prompts.boxes = boxes;
  prompts.points = points;
  return prompts;
}

PromptBatch text_prompts(const torch::Tensor& text, const torch::Tensor& image_index) {
  PromptBatch prompts;
  prompts.kind = PromptKind::kText;
  prompts.image_index = image_index;
  prompts.text = text;
  return prompts;
}

}  // namespace opencloc

#include "opencloc/checkpoint/layout/vision_only.h"

#include <torch/utils.h>

namespace opencloc {
namespace {

constexpr const char* kProjection = "visual.proj";

}  // namespace

TextConfig placeholder_text() {
  TextConfig text;
  text.context_length = 2;
  text.vocab_size = 3;
  text.width = 4;
  text.heads = 1;
  text.layers = 1;
  return text;
}

NamedTensors vision_weights(const Cloc& model, const VisionParts& parts) {
  NamedTensors weights;
  for (auto& [name, value] : model->clip_weights()) {
    if (name.starts_with("visual.") && (parts.with_projection || name != kProjection))
      weights.emplace_back(name, value);
  }
  return weights;
}

void project_plainly(Cloc& model) {
  const torch::NoGradGuard no_grad;
  for (auto& [name, value] : model->clip_weights()) {
    if (name == kProjection) value.copy_(torch::eye(value.size(0), value.size(1)));
  }
}

}  // namespace opencloc

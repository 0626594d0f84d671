// A captioner small enough for tests, in the form of open_clip's coca_ViT-B-32.json.
#pragma once

#include <torch/utils.h>

#include "opencloc/model/cloc/cloc.h"

namespace opencloc::fixtures {

constexpr int64_t kCocaStart = 1, kCocaEnd = 19;  // ids; padding is 0

inline ModelConfig small_coca() {
  return model_config_from_json(Json::parse(R"({
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 24, "patch_size": 8, "head_width": 12,
                   "attentional_pool": true, "attn_pooler_queries": 5, "attn_pooler_heads": 2,
                   "output_tokens": true},
    "text_cfg": {"context_length": 8, "vocab_size": 20, "width": 16, "heads": 2, "layers": 1,
                 "embed_cls": true, "output_tokens": true},
    "multimodal_cfg": {"context_length": 8, "vocab_size": 20, "width": 16, "heads": 4, "layers": 1,
                       "attn_pooler_heads": 4},
    "custom_text": true})"),
                                "small_coca");
}

// Far from where training starts, so that nothing is close to zero.
inline Cloc random_coca(const ModelConfig& config = small_coca()) {
  torch::manual_seed(3);
  Cloc model(config);
  const torch::NoGradGuard no_grad;
  for (auto& parameter : model->parameters()) parameter.add_(0.3 * torch::randn_like(parameter));
  return model;
}

// [count, T]: start, words, end, padding; the first fills all places.
inline torch::Tensor random_captions(int64_t count, int64_t length) {
  auto ids = torch::zeros({count, length}, torch::kLong);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t end = i == 0 ? length - 1 : 2 + (i * 3) % (length - 2);
    ids[i][0] = kCocaStart;
    ids[i].slice(0, 1, end) = torch::randint(2, kCocaEnd, {end - 1}, torch::kLong);
    ids[i][end] = kCocaEnd;
  }
  return ids;
}

}  // namespace opencloc::fixtures

// A model small enough for tests.
#pragma once

#include "opencloc/model/cloc/cloc.h"

namespace opencloc::fixtures {

inline ModelConfig small_config() {
  ModelConfig config;
  config.embed_dim = 24;
  config.vision = {.image_size = 32, .patch_size = 8, .width = 32, .layers = 2, .head_width = 16};
  config.text = {.context_length = 12, .vocab_size = 50, .width = 16, .heads = 2, .layers = 2};
  return config;
}

// No weight is at its start, where biases are zero and norms do nothing.
inline Cloc random_model(const ModelConfig& config) {
  config.validate("test");
  torch::manual_seed(4);
  Cloc model(config);
  const torch::NoGradGuard no_grad;
  for (auto& parameter : model->parameters()) parameter.add_(0.2 * torch::randn_like(parameter));
  return model;
}

// [count, length]: random ids below 48, the end token (49, the highest id) somewhere, then zeros.
inline torch::Tensor random_texts(int64_t count, int64_t length) {
  auto ids = torch::randint(1, 48, {count, length}, torch::kLong);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t end = 2 + (i * 5) % (length - 2);
    ids[i].slice(0, end).zero_();
    ids[i][end] = 49;
  }
  return ids;
}

}  // namespace opencloc::fixtures

#include "opencloc/bench/operations.h"

namespace opencloc::bench {
namespace {

struct Stack {
  int64_t layers, width;
  double mlp_ratio;
};

// One sequence of `length` tokens: four D x D maps, the MLP's two, and two products of attention.
double stack_operations(const Stack& stack, int64_t length) {
  const auto t = static_cast<double>(length), d = static_cast<double>(stack.width);
  const double block = t * d * d * (8.0 + 4.0 * stack.mlp_ratio) + 4.0 * t * t * d;
  return static_cast<double>(stack.layers) * block;
}

// One prompt of `tokens` tokens through the layer; the MLP's second product is made of the mean.
double layer_operations(const ModelConfig& config, double p) {
  const auto t = static_cast<double>(config.vision.tokens());
  const auto d = static_cast<double>(config.vision.width);
  const double mlp = 2.0 * d * d * config.cloc.mlp_ratio;  // either product, of a token
  const double out = mlp + 2.0 * d * static_cast<double>(config.embed_dim);
  if (config.cloc.pool == Pool::kPrompt) return p * (4.0 * d * d + mlp + 4.0 * t * d) + out;
  return p * (8.0 * d * d + 4.0 * (t + p) * d) + 4.0 * t * p * d + (t + p) * mlp + out;
}

}  // namespace

double image_operations(const ModelConfig& config) {
  const auto& vision = config.vision;
  const auto width = static_cast<double>(vision.width);
  const auto patch = static_cast<double>(3 * vision.patch_size * vision.patch_size);
  return 2.0 * static_cast<double>(vision.patches()) * patch * width +
         stack_operations({vision.layers, vision.width, vision.mlp_ratio}, vision.tokens()) +
         2.0 * width * static_cast<double>(config.embed_dim);
}

double text_operations(const ModelConfig& config, int64_t length) {
  const auto& text = config.text;
  return stack_operations({text.layers, text.width, text.mlp_ratio}, length) +
         2.0 * static_cast<double>(text.width * config.embed_dim);
}

double prompt_image_operations(const ModelConfig& config) {
  const auto t = static_cast<double>(config.vision.tokens());
  const auto d = static_cast<double>(config.vision.width);
  if (config.cloc.pool == Pool::kPrompt) return 4.0 * t * d * d;  // keys and values
  return 8.0 * t * d * d + 4.0 * t * t * d;
}

double box_prompt_operations(const ModelConfig& config) {
  const auto d = static_cast<double>(config.vision.width);
  if (!config.cloc.joint_box_token) return layer_operations(config, 2);
  const bool mapped = config.cloc.box_encoding == BoxEncoding::kCentre;
  return (mapped ? 4.0 * d * d : 0) + layer_operations(config, 3);
}

double text_prompt_operations(const ModelConfig& config) {
  return 2.0 * static_cast<double>(config.vision.width * config.embed_dim) +
         layer_operations(config, 1);
}

}  // namespace opencloc::bench

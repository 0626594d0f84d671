#include "opencloc/cli/inspect_architectures.h"

#include <cmath>

#include <spdlog/fmt/fmt.h>

namespace opencloc::cli {
namespace {

// Attention, MLP and two norms, with biases.
int64_t block_parameters(int64_t width, int64_t mlp_width) {
  return 4 * width * width + 4 * width + 2 * width * mlp_width + mlp_width + width + 4 * width;
}

// What CoCa has beside two towers: the pooler (its norm and projection are those of width E), the
// token that is pooled, the decoder.
int64_t captioner_parameters(const ModelConfig& config) {
  if (!config.multimodal) return 0;
  const auto& vision = config.vision;
  const int64_t width = config.embed_dim;
  const int64_t pooler = vision.attn_pooler_queries * width + 2 * width * width +
                         2 * width * vision.width + 4 * width + 2 * width + 2 * vision.width;
  const int64_t behind_pooler =
      2 * width + width * width - (2 * vision.width + vision.width * width);
  const int64_t cls = 2 * config.text.width;
  const int64_t block = block_parameters(width, 4 * width);
  const int64_t decoder = config.multimodal->layers * (2 * block + 2 * width) + 2 * width +
                          width * config.text.vocab_size;
  return pooler + behind_pooler + cls + decoder;
}

int64_t pooling_head_parameters(const VisionConfig& vision) {
  if (vision.pool != ImagePool::kAttention) return 0;
  const double ratio = vision.map_mlp_ratio > 0 ? vision.map_mlp_ratio : vision.mlp_ratio;
  const auto mlp_width = std::llround(ratio * static_cast<double>(vision.width));
  return block_parameters(vision.width, mlp_width) - 2 * vision.width +  // one norm
         vision.width;                                                   // the query
}

}  // namespace

int64_t clip_parameters(const ModelConfig& config) {
  const auto& vision = config.vision;
  const auto& text = config.text;
  const auto mlp_width = std::llround(vision.mlp_ratio * static_cast<double>(vision.width));
  const auto text_mlp_width = std::llround(text.mlp_ratio * static_cast<double>(text.width));
  const int64_t image =
      3 * vision.patch_size * vision.patch_size * vision.width +
      (vision.patch_bias ? vision.width : 0) + (vision.class_token ? vision.width : 0) +
      vision.tokens() * vision.width + (vision.ln_pre ? 4 : 2) * vision.width +
      vision.layers * block_parameters(vision.width, mlp_width) + pooling_head_parameters(vision) +
      (vision.projection ? vision.width * config.embed_dim : 0) +
      (vision.projection_bias ? config.embed_dim : 0);
  const int64_t texts = (text.vocab_size + text.context_length) * text.width + 2 * text.width +
                        text.layers * block_parameters(text.width, text_mlp_width) +
                        text.width * config.embed_dim +
                        (text.projection_bias ? config.embed_dim : 0);
  return image + texts + captioner_parameters(config) + (config.init_logit_bias ? 2 : 1);
}

Json inspect_architectures() {
  Json found = Json::array();
  for (const auto& name : known_model_names()) {
    const ModelConfig config = load_model_config(name);
    found.push_back({{"name", name},
                     {"image_size", config.vision.image_size},
                     {"patch_size", config.vision.patch_size},
                     {"width", config.vision.width},
                     {"layers", config.vision.layers},
                     {"heads", config.vision.heads()},
                     {"embed_dim", config.embed_dim},
                     {"text_width", config.text.width},
                     {"text_layers", config.text.layers},
                     {"text_heads", config.text.heads},
                     {"context_length", config.text.context_length},
                     {"vocab_size", config.text.vocab_size},
                     {"activation", config.quick_gelu ? "quick_gelu" : "gelu"},
                     {"parameters", clip_parameters(config)}});
  }
  return found;
}

std::string describe_architectures(const Json& found) {
  std::string text =
      fmt::format("{:<24} {:>8} {:>6} {:>20} {:>6} {:>20} {:>11} {:>12}", "name", "image", "patch",
                  "width/layers/heads", "embed", "text w/layers/heads", "activation", "parameters");
  const auto shape = [](const Json& line, const char* width, const char* layers,
                        const char* heads) {
    return fmt::format("{}/{}/{}", line.at(width).get<int64_t>(), line.at(layers).get<int64_t>(),
                       line.at(heads).get<int64_t>());
  };
  for (const auto& line : found) {
    text += fmt::format(
        "\n{:<24} {:>5} px {:>6} {:>20} {:>6} {:>20} {:>11} {:>10.1f} M",
        line.at("name").get<std::string>(), line.at("image_size").get<int64_t>(),
        line.at("patch_size").get<int64_t>(), shape(line, "width", "layers", "heads"),
        line.at("embed_dim").get<int64_t>(), shape(line, "text_width", "text_layers", "text_heads"),
        line.at("activation").get<std::string>(), line.at("parameters").get<double>() / 1e6);
  }
  return text;
}

}  // namespace opencloc::cli

#include "opencloc/model/self_supervision/masked_decoder.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "opencloc/model/layers/initial.h"
#include "opencloc/model/layers/positional_encoding.h"

namespace opencloc {
namespace {

constexpr double kStart = 0.02;  // MAE's and M3AE's deviation of mask tokens

}  // namespace

MaskedDecoderImpl::MaskedDecoderImpl(const MaskedDecoderConfig& config, const ModelConfig& model)
    : config_(config) {
  const auto& vision = model.vision;
  image_ = make_side("image", vision.width, vision.layer_norm_eps);
  image_places_ = register_buffer(
      "image_places", patch_centre_encoding(vision.grid(), config.width, vision.grid()));
  if (config.words) {
    words_ = make_side("words", model.text.width, model.text.layer_norm_eps);
    auto words = named_children()["words"];
    word_places_ = words->register_parameter(
        "places", initial::normal({model.text.context_length, config.width}, kStart));
    word_padding_ = words->register_parameter("padding", initial::normal({config.width}, kStart));
    word_projection = register_parameter(
        "word_projection", initial::normal({config.width, model.text.vocab_size}, kStart));
  }
  BlockConfig block;
  block.width = config.width;
  block.heads = std::max<int64_t>(1, config.width / 32);
  block.mlp_width = 4 * config.width;
  transformer_ = register_module("transformer", Transformer(block, config.layers));
  ln_ = register_module("ln", LayerNorm(config.width));
  pixels_ =
      register_module("pixels", Linear(config.width, 3 * vision.patch_size * vision.patch_size));
}

MaskedDecoderImpl::Side MaskedDecoderImpl::make_side(const char* name, int64_t from,
                                                     double epsilon) {
  auto module = register_module(name, std::make_shared<torch::nn::Module>(name));
  Side side;
  if (!config_.joint) side.norm = module->register_module("norm", LayerNorm(from, epsilon));
  side.proj = config_.joint && image_.proj
                  ? image_.proj
                  : module->register_module("proj", Linear(from, config_.width));
  side.mask = module->register_parameter("mask", initial::normal({config_.width}, kStart));
  return side;
}

torch::Tensor MaskedDecoderImpl::projected(Side& side, const torch::Tensor& tokens) {
  return side.proj(side.norm ? side.norm(tokens) : tokens).to(torch::kFloat32);
}

torch::Tensor MaskedDecoderImpl::full(Side& side, const SeenTokens& seen) const {
  const int64_t batch = seen.tokens.size(0), width = config_.width;
  const auto tokens = projected(side, seen.tokens);                      // [B, K, Dd]
  const auto places = seen.places.unsqueeze(2).expand({-1, -1, width});  // [B, K, Dd]
  // One place more takes what is left out.
  auto all = side.mask.expand({batch, seen.count + 1, width}).scatter(1, places, tokens);
  all = all.slice(1, 0, seen.count);  // [B, N, Dd]
  return seen.padding.defined() ? torch::where(seen.padding.unsqueeze(2), word_padding_, all) : all;
}

Restored MaskedDecoderImpl::forward(const SeenTokens& image, const SeenTokens& words,
                                    const torch::Tensor& class_token) {
  std::vector<torch::Tensor> parts;
  if (class_token.defined()) parts.push_back(projected(image_, class_token));  // [B, 1, Dd]
  if (image.defined()) parts.push_back(full(image_, image) + image_places_);   // [B, N, Dd]
  if (words.defined())
    parts.push_back(full(words_, words) + word_places_.slice(0, 0, words.count));  // [B, T, Dd]
  TORCH_CHECK(!parts.empty(), "nothing was seen");
  const auto x = ops::as_activation(torch::cat(parts, 1));  // [B, (1 +) N + T, Dd]
  auto read = ln_(transformer_(x, ops::Mask::kNone));
  if (class_token.defined()) read = read.slice(1, 1);  // [B, N + T, Dd]
  const int64_t patches = image.defined() ? image.count : 0;
  Restored restored;
  if (image.defined()) restored.patches = pixels_(read.slice(1, 0, patches));  // [B, N, 3 P P]
  if (words.defined()) restored.words = read.slice(1, patches).to(torch::kFloat32);
  return restored;
}

}  // namespace opencloc

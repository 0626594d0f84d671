#include "opencloc/model/clip/vision_tower.h"

#include <cmath>

#include "opencloc/model/clip/positions.h"
#include "opencloc/model/layers/initial.h"
#include "opencloc/ops/ops.h"

namespace opencloc {

VisionTowerImpl::VisionTowerImpl(const ModelConfig& config) : config_(config.vision) {
  const int64_t width = config_.width;
  const double scale = std::pow(static_cast<double>(width), -0.5);
  const int64_t patch = config_.patch_size;

  auto conv1 = register_module("conv1", std::make_shared<torch::nn::Module>("conv1"));
  conv1_weight_ = conv1->register_parameter(
      "weight", initial::normal({width, 3, patch, patch}, std::pow(3.0 * patch * patch, -0.5)));
  if (config_.patch_bias) conv1_bias_ = conv1->register_parameter("bias", torch::zeros({width}));
  if (config_.class_token)
    class_embedding_ = register_parameter("class_embedding", initial::normal({width}, scale));
  positional_embedding_ =
      register_parameter("positional_embedding", initial::normal({config_.tokens(), width}, scale));
  if (config_.ln_pre) ln_pre_ = register_module("ln_pre", LayerNorm(width, config_.layer_norm_eps));
  const BlockConfig block = block_config(config, config_, config_.heads());
  transformer_ = register_module("transformer", Transformer(block, config_.layers));
  if (config_.attentional_pool) pooler_ = register_module("attn_pool", AttentionalPooler(config));
  const int64_t pooled_width = pooler_ ? config.embed_dim : width;
  ln_post_ = register_module("ln_post", LayerNorm(pooled_width, config_.layer_norm_eps));
  if (config_.pool == ImagePool::kAttention)
    attn_pool_ = register_module("attn_pool", AttentionPool(pool_config(config_, block)));
  if (config_.projection)
    proj_ = register_parameter("proj", initial::normal({pooled_width, config.embed_dim}, scale));
  if (config_.projection_bias)
    proj_bias_ = register_parameter("proj_bias", torch::zeros({config.embed_dim}));
}

torch::Tensor VisionTowerImpl::patch_embed(const torch::Tensor& pixels, int64_t image_size) const {
  TORCH_CHECK(pixels.dim() == 4 && pixels.size(2) == image_size && pixels.size(3) == image_size &&
                  image_size % config_.patch_size == 0,
              "pixels must be [B, 3, ", image_size, ", ", image_size, "], got ", pixels.sizes());
  const int64_t batch = pixels.size(0), patch = config_.patch_size, grid = image_size / patch;
  const auto patches = pixels.reshape({batch, 3, grid, patch, grid, patch})
                           .permute({0, 2, 4, 1, 3, 5})
                           .reshape({batch, grid * grid, 3 * patch * patch});  // [B, N, 3 P P]
  return ops::linear(patches, conv1_weight_.reshape({config_.width, 3 * patch * patch}),
                     conv1_bias_);  // [B, N, D]
}

ImageFeatures VisionTowerImpl::forward(const torch::Tensor& pixels, const EncodeOptions& options) {
  const int64_t size = options.any_size ? pixels.size(-1) : config_.image_size;
  auto x = patch_embed(pixels, size);  // [B, N, D]
  if (options.hidden.defined())
    x = torch::where(options.hidden.unsqueeze(2), options.hidden_patch.to(x.scalar_type()), x);
  if (config_.class_token) {
    const auto cls =
        ops::as_activation(class_embedding_).expand({x.size(0), 1, config_.width});  // [B, 1, D]
    x = torch::cat({cls, x}, 1);                                                     // [B, T, D]
  }
  const int64_t grid = size / config_.patch_size;
  x = x + ops::as_activation(resize_positions(positional_embedding_, grid));
  if (options.keep.defined()) {
    const auto rows = kept_rows(options.keep).unsqueeze(2).expand({-1, -1, config_.width});
    x = x.gather(1, rows);  // [B, 1 + K, D]
  }
  if (options.appended.defined()) x = torch::cat({x, ops::as_activation(options.appended)}, 1);
  if (ln_pre_) x = ln_pre_(x);
  std::vector<TransformerImpl::Hidden> hidden;
  if (options.hidden_layer) {
    const int64_t layer = *options.hidden_layer;
    const int64_t after = layer < 0 ? config_.layers + 1 + layer : layer;
    TORCH_CHECK(after >= 0 && after <= config_.layers, "no hidden layer ", layer);
    hidden.push_back({after, {}});
  }
  if (options.several_layers)
    for (const int64_t after : config_.several_layers()) hidden.push_back({after, {}});
  x = transformer_(x, ops::Mask::kNone, &hidden, rotation(grid, options));
  ImageFeatures features;
  features.tokens = x;                                                // [B, T, D]
  if (options.hidden_layer) features.hidden = hidden.front().tokens;  // [B, T, D]
  if (options.several_layers) {
    for (size_t i = hidden.size() - kSeveralLayers; i < hidden.size(); ++i)
      features.layers.push_back(hidden[i].tokens);
  }
  if (pooler_) {
    const auto answers = ln_post_(pooler_(x));  // [B, n, E]
    features.pooled = answers.select(1, 0);     // [B, E]
    features.captioning = answers.slice(1, 1);  // [B, n - 1, E]
  } else {
    features.pooled = pool(x);  // [B, D]
  }
  features.embedding = to_embedding(features.pooled);  // [B, E]
  return features;
}

torch::Tensor VisionTowerImpl::kept_rows(const torch::Tensor& keep) const {
  if (!config_.class_token) return keep;
  return torch::cat({torch::zeros({keep.size(0), 1}, keep.options()), keep + 1}, 1);
}

Rotation VisionTowerImpl::rotation(int64_t grid, const EncodeOptions& options) const {
  if (config_.rotary_grid == 0) return {};
  auto turn = rotation_of_grid({grid, config_.rotary_grid, config_.head_width, config_.class_token},
                               positional_embedding_.device());
  if (options.keep.defined()) turn = turn.of(kept_rows(options.keep));
  return options.appended.defined() ? turn.then_still(options.appended.size(1)) : turn;
}

torch::Tensor VisionTowerImpl::pool(const torch::Tensor& tokens) {
  switch (config_.pool) {
    case ImagePool::kClassToken:
      return ln_post_(tokens.select(1, 0));
    case ImagePool::kAverage:
    case ImagePool::kMax: {
      const auto patches = tokens.slice(1, config_.class_token ? 1 : 0);  // [B, N, D]
      const auto over = [this](const torch::Tensor& x) {
        return config_.pool == ImagePool::kMax ? x.amax(1) : x.mean(1);
      };
      return config_.ln_post_after_pool ? ln_post_(over(patches)) : over(ln_post_(patches));
    }
    case ImagePool::kAttention:
      break;
  }
  return attn_pool_(ln_post_(tokens));
}

torch::Tensor VisionTowerImpl::project(const torch::Tensor& tokens) {
  if (pooler_) return to_embedding(ln_post_(pooler_(tokens.unsqueeze(1))).select(1, 0));
  const auto normed = ln_post_(tokens);  // [R, D]
  return to_embedding(attn_pool_ ? attn_pool_(normed.unsqueeze(1)) : normed);
}

torch::Tensor VisionTowerImpl::dense(const torch::Tensor& penultimate) {
  const auto last = transformer_->blocks().back()->without_attention(
      patch_tokens(penultimate).to(ops::as_activation(positional_embedding_).scalar_type()));
  return project(last.flatten(0, 1)).view({last.size(0), last.size(1), -1});  // [B, N, E]
}

torch::Tensor VisionTowerImpl::to_embedding(const torch::Tensor& pooled) const {
  return proj_.defined() ? ops::linear(pooled, proj_.t(), proj_bias_) : pooled;
}

}  // namespace opencloc

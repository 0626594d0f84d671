#include "opencloc/model/clip/text_tower.h"

#include <cmath>

#include "opencloc/model/coca/class_token.h"
#include "opencloc/model/layers/initial.h"
#include "opencloc/ops/ops.h"

namespace opencloc {

TextTowerImpl::TextTowerImpl(const ModelConfig& config) : config_(config.text) {
  const int64_t width = config_.width;
  auto embedding =
      register_module("token_embedding", std::make_shared<torch::nn::Module>("token_embedding"));
  token_embedding_ =
      embedding->register_parameter("weight", initial::normal({config_.vocab_size, width}, 0.02));
  positional_embedding_ = register_parameter("positional_embedding",
                                             initial::normal({config_.positions(), width}, 0.01));
  if (config_.embed_cls) cls_emb_ = register_parameter("cls_emb", initial::normal({width}, 0.01));
  const BlockConfig block = block_config(config, config_, config_.heads);
  transformer_ = register_module("transformer", Transformer(block, config_.layers));
  ln_final_ = register_module("ln_final", LayerNorm(width, config_.layer_norm_eps));
  const double scale = std::pow(static_cast<double>(width), -0.5);
  if (config_.projection_bias) {
    projection_ = register_module("text_projection", Linear(width, config.embed_dim));
    initial::fill_normal(projection_->weight, scale);
  } else {
    text_projection_ =
        register_parameter("text_projection", initial::normal({width, config.embed_dim}, scale));
  }
}

TextFeatures TextTowerImpl::encode(const torch::Tensor& ids) {
  TORCH_CHECK(ids.dim() == 2 && ids.size(1) <= config_.context_length,
              "ids must be [B, T <= ", config_.context_length, "], got ", ids.sizes());
  if (cls_emb_.defined()) return encode_with_cls(ids);
  const auto positions = positional_embedding_.slice(0, 0, ids.size(1));             // [T, D]
  auto x = ops::as_activation(torch::embedding(token_embedding_, ids) + positions);  // [B, T, D]
  x = transformer_(x, config_.causal ? ops::Mask::kCausal : ops::Mask::kNone);       // [B, T, D]
  return {embed(pool(x, ids)), x};
}

torch::Tensor TextTowerImpl::encode_some(const torch::Tensor& ids, const torch::Tensor& keep) {
  TORCH_CHECK(config_.causal && !cls_emb_.defined(),
              "only causal towers can do without some words");
  const auto places = positional_embedding_.index_select(0, keep.flatten())
                          .view({keep.size(0), keep.size(1), config_.width});
  const auto words = torch::embedding(token_embedding_, ids.gather(1, keep));  // [B, K, D]
  return transformer_(ops::as_activation(words + places), ops::Mask::kCausal);
}

TextFeatures TextTowerImpl::encode_with_cls(const torch::Tensor& ids) {
  const int64_t batch = ids.size(0), length = ids.size(1);
  // Padding that was cut is put back where the mask would look at it.
  const bool grown = !config_.correct_cls_mask && length < config_.context_length;
  const auto read = grown ? torch::constant_pad_nd(ids, {0, 1}, kPadId) : ids;  // [B, T']
  const auto text = torch::embedding(token_embedding_, read) +
                    positional_embedding_.slice(0, 0, read.size(1));  // [B, T', D]
  const auto cls = (cls_emb_ + positional_embedding_[config_.context_length])
                       .expand({batch, 1, config_.width});  // [B, 1, D]
  const auto words = read.ne(kPadId), always = torch::ones({batch, 1}, words.options());
  const auto seen = config_.correct_cls_mask ? torch::cat({words, always}, 1)
                                             : torch::cat({always, words}, 1);  // [B, T' + 1]
  const auto x =
      blocks_with_class_token(transformer_, ops::as_activation(torch::cat({text, cls}, 1)), seen);
  return {embed(x.select(1, -1)), x.slice(1, 0, length)};
}

torch::Tensor TextTowerImpl::step(const torch::Tensor& ids, int64_t place,
                                  std::vector<torch::Tensor>& caches) {
  const auto x = ops::as_activation(torch::embedding(token_embedding_, ids.unsqueeze(1)) +
                                    positional_embedding_[place]);  // [B, 1, D]
  return transformer_->step(x, caches);
}

torch::Tensor TextTowerImpl::embed(const torch::Tensor& pooled) {
  const auto normed = ln_final_(pooled);                                                 // [B, D]
  return projection_ ? projection_(normed) : ops::linear(normed, text_projection_.t());  // [B, E]
}

torch::Tensor TextTowerImpl::pool(const torch::Tensor& x, const torch::Tensor& ids) const {
  if (config_.pool == TextPool::kFirst) return x.select(1, 0);
  if (config_.pool == TextPool::kLast) return x.select(1, -1);
  // First end token, or the highest id (argmax returns the first of equals).
  const auto place =
      config_.eos_id < 0 ? ids.argmax(1) : ids.eq(config_.eos_id).to(torch::kInt).argmax(1);
  return x.gather(1, place.view({-1, 1, 1}).expand({-1, 1, x.size(2)})).squeeze(1);  // [B, D]
}

}  // namespace opencloc

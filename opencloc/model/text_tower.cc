#include "opencloc/model/text_tower.h"

#include <cmath>

#include "opencloc/ops/ops.h"

namespace opencloc {

TextTowerImpl::TextTowerImpl(const ModelConfig& config) : config_(config.text) {
  const int64_t width = config_.width;
  auto embedding =
      register_module("token_embedding", std::make_shared<torch::nn::Module>("token_embedding"));
  token_embedding_ =
      embedding->register_parameter("weight", torch::randn({config_.vocab_size, width}) * 0.02);
  positional_embedding_ = register_parameter("positional_embedding",
                                             torch::randn({config_.context_length, width}) * 0.01);
  const BlockConfig block{
      width, config_.heads,
      static_cast<int64_t>(std::lround(static_cast<double>(width) * config_.mlp_ratio)),
      config.quick_gelu};
  transformer_ = register_module("transformer", Transformer(block, config_.layers));
  ln_final_ = register_module("ln_final", LayerNorm(width));
  text_projection_ =
      register_parameter("text_projection", torch::randn({width, config.embed_dim}) *
                                                std::pow(static_cast<double>(width), -0.5));
}

torch::Tensor TextTowerImpl::forward(const torch::Tensor& ids) {
  TORCH_CHECK(ids.dim() == 2 && ids.size(1) <= config_.context_length,
              "ids must be [B, T <= ", config_.context_length, "], got ", ids.sizes());
  const auto positions = positional_embedding_.slice(0, 0, ids.size(1));  // [T, D]
  auto x = torch::embedding(token_embedding_, ids) + positions;           // [B, T, D]
  x = transformer_(x, ops::Mask::kCausal);                                // [B, T, D]
  // First end token, or the highest id (argmax returns the first of equals).
  const auto place =
      config_.eos_id < 0 ? ids.argmax(1) : ids.eq(config_.eos_id).to(torch::kInt).argmax(1);
  const auto pooled = x.index({torch::arange(ids.size(0), ids.options()), place});  // [B, D]
  return ops::linear(ln_final_(pooled), text_projection_.t());                      // [B, E]
}

}  // namespace opencloc

#include "opencloc/model/mllm/language_model.h"

#include <cmath>
#include <memory>

#include "opencloc/model/layers/initial.h"
#include "opencloc/ops/ops.h"

namespace opencloc {
namespace {

constexpr double kDeviation = 0.02;  // of GPT-2's weights

// GPT-2's start: every matrix 0.02, what is added to the residual less by sqrt(2 layers).
void start_as_gpt2(BlockImpl& block, int64_t layers) {
  const double residual = kDeviation / std::sqrt(2.0 * static_cast<double>(layers));
  initial::fill_normal(block.attn->in_proj_weight, kDeviation);
  initial::fill_normal(block.attn->out_proj->weight, residual);
  initial::fill_normal(block.mlp->c_fc->weight, kDeviation);
  initial::fill_normal(block.mlp->c_proj->weight, residual);
}

}  // namespace

LanguageModelImpl::LanguageModelImpl(const LanguageConfig& config) : config_(config) {
  TORCH_CHECK(config.heads > 0 && config.width % config.heads == 0, "a language model of width ",
              config.width, " cannot have ", config.heads, " heads");
  const auto table = [&](const char* name, int64_t rows, double deviation) {
    auto module = register_module(name, std::make_shared<torch::nn::Module>(name));
    return module->register_parameter("weight", initial::normal({rows, config.width}, deviation));
  };
  wte_ = table("wte", config.vocab_size, kDeviation);
  wpe_ = table("wpe", config.context_length, kDeviation / 2);
  BlockConfig block;
  block.width = config.width;
  block.heads = config.heads;
  block.mlp_width = 4 * config.width;
  block.gelu = ops::Gelu::kTanh;
  transformer_ = register_module("transformer", Transformer(block, config.layers));
  for (auto& each : transformer_->blocks()) start_as_gpt2(*each, config.layers);
  ln_f_ = register_module("ln_f", LayerNorm(config.width));
}

torch::Tensor LanguageModelImpl::embed(const torch::Tensor& ids) const {
  return torch::embedding(wte_, ids);
}

torch::Tensor LanguageModelImpl::forward(const torch::Tensor& embeddings) {
  TORCH_CHECK(embeddings.dim() == 3 && embeddings.size(1) <= config_.context_length,
              "embeddings must be [B, T <= ", config_.context_length, ", H], got ",
              embeddings.sizes());
  const auto x = ops::as_activation(embeddings + wpe_.slice(0, 0, embeddings.size(1)));
  return ln_f_(transformer_(x, ops::Mask::kCausal));  // [B, T, H]
}

torch::Tensor LanguageModelImpl::step(const torch::Tensor& embeddings, State& state) {
  const int64_t end = state.places + embeddings.size(1);
  TORCH_CHECK(end <= config_.context_length, "the context of ", config_.context_length,
              " places is full");
  const auto x = ops::as_activation(embeddings + wpe_.slice(0, state.places, end));
  state.places = end;
  return ln_f_(transformer_->step(x, state.caches));  // [B, T, H]
}

torch::Tensor LanguageModelImpl::logits(const torch::Tensor& normed) const {
  return ops::linear(normed, wte_);
}

}  // namespace opencloc

// A decoder of GPT-2's layout (Radford et al., 2019), the reader of a multimodal language model: it
// reads a sequence of embeddings, words among pictures and regions, and says what word comes next.
#pragma once

#include <cstdint>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include "opencloc/model/layers/transformer.h"

namespace opencloc {

struct LanguageConfig {
  int64_t vocab_size = 0;
  int64_t context_length = 0;  // places a sequence may have
  int64_t width = 0;           // H
  int64_t layers = 0;
  int64_t heads = 1;
};

// Parameters: wte.weight [V, H] (tied with the output), wpe.weight [context, H], transformer, ln_f.
class LanguageModelImpl : public torch::nn::Module {
 public:
  explicit LanguageModelImpl(const LanguageConfig& config);

  const LanguageConfig& config() const { return config_; }

  // The words' embeddings, without places. ids [...] int64 -> [..., H]
  torch::Tensor embed(const torch::Tensor& ids) const;
  // What the next word at each place is read off, layer-normed. A place sees itself and those
  // before, so padding behind a sequence changes nothing. embeddings [B, T <= context, H] ->
  // [B, T, H]
  torch::Tensor forward(const torch::Tensor& embeddings);

  // The same for writing: first the places that are given, then one at a time.
  struct State {
    int64_t places = 0;                 // read so far
    std::vector<torch::Tensor> caches;  // [B, places, 2 H] a block
  };
  // embeddings [B, T, H], T = 1 after the first call -> [B, T, H]
  torch::Tensor step(const torch::Tensor& embeddings, State& state);

  // normed [..., H] -> [..., V]
  torch::Tensor logits(const torch::Tensor& normed) const;
  // [V, H], what caption_loss reads transposed.
  const torch::Tensor& words() const { return wte_; }

 private:
  LanguageConfig config_;
  torch::Tensor wte_, wpe_;
  Transformer transformer_{nullptr};
  LayerNorm ln_f_{nullptr};
};
TORCH_MODULE(LanguageModel);

}  // namespace opencloc

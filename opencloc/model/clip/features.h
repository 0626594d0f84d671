// What one pass of the image tower leaves behind for pooling, regions and grounding.
// T = 1+N tokens of an image where the tower has a class token (it comes first), else N; N is a
// square.
#pragma once

#include <cmath>
#include <vector>

#include <torch/types.h>

#include "opencloc/ops/indexed_attention.h"

namespace opencloc {

// The side of the patch grid of tokens [B, T, D]. g^2 and g^2 + 1 are never both squares, so that T
// alone tells whether there is a class token.
inline int64_t patch_grid(const torch::Tensor& tokens) {
  return static_cast<int64_t>(std::sqrt(static_cast<double>(tokens.size(1)) + 0.5));
}
// tokens [B, T, D] -> [B, N, D], row by row of the picture.
inline torch::Tensor patch_tokens(const torch::Tensor& tokens) {
  const int64_t grid = patch_grid(tokens);
  return tokens.slice(1, tokens.size(1) - grid * grid);
}

// The Prompter's share that does not depend on the prompt, computed once an image.
struct PromptContext {
  torch::Tensor keys_values;  // [B, T, 2 D]
  // Pool::kAll only.
  torch::Tensor tokens;       // [B, T, D], normalised and, if so configured, carrying their place
  torch::Tensor queries;      // [B, T, D]
  ops::PartialAttention own;  // what the image tokens read from one another

  bool defined() const { return keys_values.defined(); }
  // The same with change(tensor) for every tensor that is there.
  template <typename Change>
  PromptContext map(const Change& change) const {
    const auto changed = [&](const torch::Tensor& t) { return t.defined() ? change(t) : t; };
    return {changed(keys_values),
            changed(tokens),
            changed(queries),
            {changed(own.out), changed(own.log_sum_exp)}};
  }
};

struct ImageFeatures {
  torch::Tensor tokens;      // [B, T, D], after the last block, before pooling, norm, projection
  torch::Tensor pooled;      // [B, D], what is projected to the embedding; CoCa [B, E]
  torch::Tensor embedding;   // [B, E], not normalised
  torch::Tensor captioning;  // [B, Q, E], what captions are written from; CoCa alone
  torch::Tensor hidden;      // [B, T, D], after EncodeOptions::hidden_layer blocks; else undefined
  std::vector<torch::Tensor> layers;  // [B, T, D] each, with EncodeOptions::several_layers
  // [B, T, D]: what regions are read from, where that is a sum of several layers; else undefined.
  torch::Tensor of_layers;
  const torch::Tensor& for_regions() const { return of_layers.defined() ? of_layers : tokens; }
  PromptContext context;  // undefined until Cloc::prepare_prompts
};

}  // namespace opencloc

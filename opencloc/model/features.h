// What one pass of the image tower leaves behind for pooling, regions and grounding.
#pragma once

#include <torch/torch.h>

namespace opencloc {

// The Prompter's share that does not depend on the prompt, computed once an image.
struct PromptContext {
  torch::Tensor tokens;       // [B, 1+N, D], normalised and, if so configured, carrying their place
  torch::Tensor keys_values;  // [B, 1+N, 2 D], Pool::kPrompt only
  bool defined() const { return tokens.defined(); }
};

struct ImageFeatures {
  torch::Tensor tokens;     // [B, 1+N, D], after the last block, before pooling, norm, projection
  torch::Tensor embedding;  // [B, E], not normalised
  torch::Tensor
      penultimate;        // [B, 1+N, D], after the second-to-last block; undefined unless asked for
  PromptContext context;  // undefined until Cloc::prepare_prompts
};

}  // namespace opencloc

// One encoder for pictures and words (M3AE, Geng et al., "Multimodal Masked Autoencoders Learn
// Transferable Representations", 2022): the image tower's class token, patches and blocks, with
// words after the patches. What it adds to the tower are the words' embeddings; without words it
// is the image tower itself, which is what training leaves behind.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include "opencloc/model/clip/vision_tower.h"
#include "opencloc/model/config/config.h"

namespace opencloc {

// Texts with as many seen words share a pass, so that no place of it is padding and attention needs
// no mask.
struct SeenWords {
  torch::Tensor ids;   // [B, T] int64
  torch::Tensor keep;  // [B, K] int64: the places that are seen, first those that there are
  // The pictures [g] int64 that see k words (0: they have no text), and where each picture is in
  // the order of the groups [B]. `ids`, `keep` and these lie on the model's device.
  std::vector<std::pair<torch::Tensor, int64_t>> groups;
  torch::Tensor restore;

  bool defined() const { return ids.defined(); }
  // Groups by seen[i], the words that picture i sees; K at most.
  void group(const std::vector<int64_t>& seen, torch::Device device);
};

// After the tower's last norm (ln_post).
struct JointTokens {
  torch::Tensor class_token;  // [B, 1, D]; undefined for towers without one
  torch::Tensor patches;      // [B, Kp, D]
  torch::Tensor words;        // [B, K, D], 0 where a text has fewer; undefined without words
};

// Parameters: word_embedding, word_positional_embedding, word_type_embedding. The patches' type is
// a part of the tower's positional embedding, as it would be the same for every patch.
class JointEncoderImpl : public torch::nn::Module {
 public:
  // Drawn from torch's generator. The towers' texts: context_length and vocab_size.
  explicit JointEncoderImpl(const ModelConfig& model);
  // pixels [B, 3, H, W], normalised; keep [B, Kp] int64: the patches that are seen.
  JointTokens forward(VisionTower& tower, const torch::Tensor& pixels, const torch::Tensor& keep,
                      const SeenWords& words);

 private:
  torch::Tensor embed(const torch::Tensor& ids, const torch::Tensor& keep) const;  // [g, k, D]

  torch::Tensor embedding_;  // [V, D]
  torch::Tensor places_;     // [T, D]
  torch::Tensor type_;       // [D]
  bool class_token_;
};
TORCH_MODULE(JointEncoder);

// The same without words: MAE's encoder.
JointTokens encode_patches(VisionTower& tower, const torch::Tensor& pixels,
                           const torch::Tensor& keep, bool class_token);

}  // namespace opencloc

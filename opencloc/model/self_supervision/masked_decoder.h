// What restores the patches and words that a masked pass has not seen, from the tokens of those
// that it has: the decoder of masked autoencoders (He et al., "Masked Autoencoders Are Scalable
// Vision Learners", 2022), with words beside the patches as in M3AE (Geng et al., 2022). It serves
// training only and is no part of the model.
#pragma once

#include <cstdint>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include "opencloc/model/config/config.h"
#include "opencloc/model/layers/layers.h"
#include "opencloc/model/layers/transformer.h"

namespace opencloc {

struct MaskedDecoderConfig {
  int64_t width = 128;  // Dd, a multiple of 4; a head for every 32
  int64_t layers = 2;
  bool words = false;  // restores words, too
  // M3AE: all tokens come from one encoder, which has normed them (joint_encoder.h), and share a
  // projection.
  bool joint = false;
};

// What of one modality a masked pass has seen. N places in all.
struct SeenTokens {
  torch::Tensor tokens;  // [B, K, D], without the class token
  // [B, K] int64: their places. Where a text has fewer than K, the rest is N: such tokens are left
  // out.
  torch::Tensor places;
  int64_t count = 0;  // N
  // [B, N] bool: places of padding, which nobody restores. Undefined: none.
  torch::Tensor padding = {};

  bool defined() const { return tokens.defined(); }
};

struct Restored {
  torch::Tensor patches;  // [B, N, 3 P P], rows as VisionTower cuts them; undefined without image
  torch::Tensor words;    // [B, T, Dd] F32, layer-normed: logits are words x word_projection
};

// Parameters: image.{norm, proj, mask}, words.{norm, proj, mask, padding, places}, transformer, ln,
// pixels, word_projection; a joint encoder's without image.norm, words.norm and words.proj.
class MaskedDecoderImpl : public torch::nn::Module {
 public:
  MaskedDecoderImpl(const MaskedDecoderConfig& config, const ModelConfig& model);

  // Either or both, read together: places of patches have the sinusoidal encoding of their
  // centres, those of words a learned one. `class_token` [B, 1, D], where it is given, is read
  // beside the patches and has no place.
  Restored forward(const SeenTokens& image, const SeenTokens& words,
                   const torch::Tensor& class_token = {});

  torch::Tensor word_projection;  // [Dd, V]

 private:
  struct Side {
    LayerNorm norm{nullptr};  // null: what comes is normed
    Linear proj{nullptr};
    torch::Tensor mask;  // [Dd]
  };
  Side make_side(const char* name, int64_t from, double epsilon);
  static torch::Tensor projected(Side& side, const torch::Tensor& tokens);  // [B, K, Dd], F32
  torch::Tensor full(Side& side, const SeenTokens& seen) const;             // [B, N, Dd]

  MaskedDecoderConfig config_;
  torch::Tensor image_places_;                // [N, Dd], a buffer
  torch::Tensor word_places_, word_padding_;  // [context, Dd], [Dd]
  Side image_, words_;
  Transformer transformer_{nullptr};
  LayerNorm ln_{nullptr};
  Linear pixels_{nullptr};
};
TORCH_MODULE(MaskedDecoder);

}  // namespace opencloc

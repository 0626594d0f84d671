// OWLv2, the open-vocabulary detector of the data engine (Minderer et al., "Scaling Open-Vocabulary
// Object Detection", NeurIPS 2023): two CLIP towers whose patch tokens each predict one box. The
// image runs once; queries (text embeddings) are compared with every patch afterwards.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include "opencloc/model/clip/text_tower.h"
#include "opencloc/model/clip/vision_tower.h"
#include "opencloc/model/config/config.h"
#include "opencloc/ops/precision.h"

namespace opencloc {

// Three linears with GELU between: D -> D -> D -> `out`.
class Owlv2MlpImpl : public torch::nn::Module {
 public:
  Owlv2MlpImpl(int64_t width, int64_t out);
  // x [B, N, D] -> [B, N, out]
  torch::Tensor forward(const torch::Tensor& x);

 private:
  Linear dense0_{nullptr}, dense1_{nullptr}, dense2_{nullptr};
};
TORCH_MODULE(Owlv2Mlp);

// What does not depend on the queries. N = grid * grid patches, row by row.
struct Owlv2Features {
  torch::Tensor patches;            // [B, N, D]: patch times class token, layer-normed
  torch::Tensor class_embeds;       // [B, N, E], of unit length
  torch::Tensor boxes;              // [B, N, 4] cx, cy, w, h in [0, 1] of the square canvas
  torch::Tensor objectness_logits;  // [B, N]
};

// Parameters: visual.*, text.* and logit_scale as in Cloc; layer_norm, class_head.*, box_head.*,
// objectness_head.* under transformers' names. config.embed_dim must equal the text width.
class Owlv2Impl : public torch::nn::Module {
 public:
  explicit Owlv2Impl(const ModelConfig& config);

  const ModelConfig& config() const { return config_; }
  // As Cloc's.
  void set_precision(Precision precision) { precision_ = precision; }
  void set_backend(Backend backend) { backend_ = backend; }
  Backend backend() const { return backend_; }
  Precision precision() const { return precision_; }

  // pixels [B, 3, S, S], normalised; S = config().vision.image_size.
  Owlv2Features encode_image(const torch::Tensor& pixels);
  // ids [Q, T] int64 -> [Q, E] of unit length.
  torch::Tensor encode_queries(const torch::Tensor& ids);
  // queries [Q, E] shared by all images, or [B, Q, E] -> logits [B, N, Q]; sigmoid gives the score.
  torch::Tensor class_logits(const Owlv2Features& features, const torch::Tensor& queries);

  torch::Tensor logit_scale;  // scalar, of the CLIP the towers began as; detection has its own
  VisionTower visual{nullptr};
  TextTower text{nullptr};

 private:
  ModelConfig config_;
  Precision precision_ = Precision::kFp32;
  Backend backend_ = Backend::kKernels;
  LayerNorm layer_norm_{nullptr};
  Linear class_dense_{nullptr}, class_shift_{nullptr}, class_scale_{nullptr};
  Owlv2Mlp box_head_{nullptr}, objectness_head_{nullptr};
  torch::Tensor box_bias_;  // [N, 4], constant: where each patch lies, before the sigmoid
};
TORCH_MODULE(Owlv2);

// The same weights for pictures of `image_size` pixels a side: the position embedding of the
// patches is interpolated (bicubic). Throws Error (input) when it is no multiple of the patch size.
Owlv2 at_resolution(const Owlv2& model, int64_t image_size);

}  // namespace opencloc

// CLOC: two CLIP towers, the Prompter and the BoxHead (arXiv 2410.02746). Read top to bottom this
// is the model; every shape is in symbols of spec/cloc.md section 1.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include "opencloc/model/clip/text_tower.h"
#include "opencloc/model/clip/vision_tower.h"
#include "opencloc/model/cloc/box_head.h"
#include "opencloc/model/cloc/prompt.h"
#include "opencloc/model/cloc/prompter.h"
#include "opencloc/model/cloc/quality_head.h"
#include "opencloc/model/cloc/roi_align.h"
#include "opencloc/model/coca/text_decoder.h"
#include "opencloc/model/config/config.h"
#include "opencloc/ops/precision.h"

namespace opencloc {

// Parameters carry open_clip's names for the towers (visual.*, transformer.*,
// token_embedding.weight, positional_embedding, ln_final.*, text_projection, logit_scale; SigLIP's
// logit_bias), CoCa's for captioners (text_decoder.*) and
// prompter.*, box_head.*, roi_extractor.*, quality_head.*, region_logit_scale,
// hard_negative_logit_scale for what CLOC adds.
// F32 master weights.
class ClocImpl : public torch::nn::Module {
 public:
  explicit ClocImpl(const ModelConfig& config);

  const ModelConfig& config() const { return config_; }

  // What its products run in, and what computes them, from now on (ops/precision.h). Embeddings and
  // boxes are F32 in any case; tokens may be bf16.
  void set_precision(Precision precision) { precision_ = precision; }
  Precision precision() const { return precision_; }
  void set_backend(Backend backend) { backend_ = backend; }
  Backend backend() const { return backend_; }

  // The canvas that evaluations put pictures on where it is not the one of training.
  void set_resize_mode(CanvasRule rule) { config_.preprocess.resize_mode = rule; }

  // pixels [B, 3, H, W], normalised, or [B, H, W, 3] uint8 as decoded. H = W =
  // config().vision.image_size, but for EncodeOptions::any_size.
  ImageFeatures encode_image(const torch::Tensor& pixels, const EncodeOptions& options = {});
  // What encode_image() makes of bytes; [B, 3, H, W] that are normalised come back as they are.
  torch::Tensor normalized_pixels(const torch::Tensor& pixels) const;
  // ids [B, T] int64 -> [B, E], not normalised. Pools at the end-of-text token.
  torch::Tensor encode_text(const torch::Tensor& ids);
  // The same with the tokens that a captioner's decoder reads.
  TextFeatures encode_text_tokens(const torch::Tensor& ids);
  // A captioner's decoder: what it says after each of the words. tokens [B, T, D] of
  // encode_text_tokens(), captioning of encode_image() -> [B, T, D], layer-normed.
  torch::Tensor decode_text(const torch::Tensor& tokens, const torch::Tensor& captioning);

  // Computes features.context, so that several calls below share it (they work without, too).
  void prepare_prompts(ImageFeatures& features);
  // Region embeddings of box, point, mask or text prompts -> [R, E], not normalised, by the
  // configured extractor (Prompter or RoIAlign), from features.for_regions() [B, T, D].
  torch::Tensor encode_regions(const ImageFeatures& features, const PromptBatch& prompts);
  // RoIAlign of `layer_tokens` [B, T, D] (of any layer) projected as the *image* tower projects its
  // class token: needs no trained region part. boxes [R, 4], image_index [R] -> [R, E].
  torch::Tensor roi_align_regions(const torch::Tensor& layer_tokens, const torch::Tensor& boxes,
                                  const torch::Tensor& image_index);
  // The patches as dense evaluations read them (VisionTower::dense), from the second-to-last
  // block's tokens [B, T, D] -> [B, N, E], not normalised. Needs no trained region part.
  torch::Tensor dense_tokens(const torch::Tensor& penultimate);
  // Grounding: text embeddings [R, E] (not normalised) on images image_index [R] -> boxes [R, 4].
  torch::Tensor ground(const ImageFeatures& features, const torch::Tensor& text_embeddings,
                       const torch::Tensor& image_index);

  // How much of the attention of a text prompt lies in a box: log sum_j a_j c_j -> [R, 1], of which
  // the gradient goes into all that attention is made of. a_j: attention to patch j; c_j: the share
  // of the patch that the box covers, beside that of the patch it covers most. Arguments as
  // ground(), boxes [R, 4]. Pool prompt only.
  torch::Tensor log_attention_inside(const ImageFeatures& features,
                                     const torch::Tensor& text_embeddings,
                                     const torch::Tensor& image_index, const torch::Tensor& boxes);

  // The boxes [R, 4] read back from region embeddings [R, E].
  torch::Tensor recover_boxes(const torch::Tensor& regions);
  // How well the boxes of region embeddings [R, E] (not normalised) hold one object each -> [R]
  // logits, of which the sigmoid is the predicted IoU. Only models with a quality head.
  torch::Tensor quality_logits(const torch::Tensor& regions);

  // Parameters under their names on disk. Sharing storage with the model (write through copy_).
  std::vector<std::pair<std::string, torch::Tensor>> clip_weights()
      const;  // open_clip's CLIP names
  std::vector<std::pair<std::string, torch::Tensor>> region_weights()
      const;  // prompter.*, box_head.*, ...

  torch::Tensor logit_scale;  // scalar, log of the inverse temperature
  torch::Tensor logit_bias;   // scalar; undefined but for models of the sigmoid loss
  VisionTower visual{nullptr};
  TextTower text{nullptr};
  TextDecoder text_decoder{nullptr};  // of a captioner (config().multimodal); else null
  // The region part; nothing of it with config().region_part false.
  torch::Tensor region_logit_scale;  // scalar, L_CLOC's own
  // Scalar, of regions against their hard negatives; config().cloc.hard_negatives only.
  torch::Tensor hard_negative_logit_scale;
  Prompter prompter{nullptr};  // with kRoiAlign only for text prompts (grounding)
  BoxHead box_head{nullptr};
  RoiExtractor roi_extractor{nullptr};  // kRoiAlign only
  QualityHead quality_head{nullptr};    // config().cloc.quality_head only

 private:
  PromptContext context_of(const ImageFeatures& features);
  void need_region_part() const;

  ModelConfig config_;
  torch::Tensor pixel_mean_, pixel_std_;  // [3, 1, 1], buffers
  Precision precision_ = Precision::kFp32;
  Backend backend_ = Backend::kKernels;
};
TORCH_MODULE(Cloc);

// Symmetric L2 normalisation along the last axis.
torch::Tensor normalized(const torch::Tensor& embeddings);

}  // namespace opencloc

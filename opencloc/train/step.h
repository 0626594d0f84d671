// One training step's losses and gradients: L = L_CLIP + lambda (L_CLOC + L_grounding)
// (arXiv 2410.02746, section 3; spec/cloc.md section 3). Captioners: captioning.h.
#pragma once

#include <torch/types.h>

#include "opencloc/data/batch.h"
#include "opencloc/loss/loss.h"
#include "opencloc/model/cloc.h"
#include "opencloc/train/forward.h"

namespace opencloc {

struct StepOptions {
  ForwardOptions forward;
  TextFilter filter;
  GroundingKind grounding_kind = GroundingKind::kL1Giou;
  double grounding_weight = 0.1;  // of L_grounding (and of box recovery) beside L_CLOC
  // Captioners: L = contrastive_weight L_CLIP + caption_weight L_caption.
  double contrastive_weight = 1.0;
  double caption_weight = 2.0;
  // Parts the batch is passed through the model in. 1: autograd over the whole. More: embeddings
  // are cached and their gradients passed back part by part (accumulate.h); same result, the
  // activations of only one part in memory.
  int64_t accum_freq = 1;
  ContrastiveOptions contrastive;
};

// What a step is remembered by.
struct StepStats {
  double loss = 0;  // the total
  double clip = 0;
  double caption = 0;
  double region = 0;
  double grounding = 0;  // unweighted, as recovery
  double recovery = 0;
  double lambda = 0;            // images with regions / images
  double removed_share = 0;     // region pairs that are no negatives
  double similar_share = 0;     // pairs of distinct region texts above the filter's threshold
  double grounding_iou = 0;     // mean IoU of predicted and given boxes
  double constant_box_iou = 0;  // of the batch's mean box with the given boxes: the baseline
  double recovered_iou = 0;     // mean IoU of recovered and given boxes
  double grounding_spread = 0;  // of the predicted boxes over the batch
  double grounding_inverted = 0;
  int64_t captioned = 0;  // images with a text: L_CLIP's
  int64_t regions = 0;
  int64_t grounded = 0;  // regions whose text names one box of its picture: L_grounding's
  int64_t texts = 0;     // distinct texts encoded
  bool finite() const;
};

// The model's outputs for a whole batch.
struct StepOutputs {
  ImageOutputs images;
  torch::Tensor texts;  // [U, E]
};

// L_CLIP of pairs [B, E], not normalised: InfoNCE, or the sigmoid loss of models with a logit_bias.
torch::Tensor contrastive_loss(Cloc& model, const torch::Tensor& images, const torch::Tensor& texts,
                               const ContrastiveOptions& options);

// The total loss with its graph; fills `stats`.
torch::Tensor step_loss(Cloc& model, const StepOutputs& outputs, const TextBatch& texts,
                        const Batch& batch, const StepOptions& options, StepStats& stats);

// Adds the gradients of the batch's loss to the parameters' grad. When the loss is not finite there
// is no backward pass: check stats.finite(). Images without a text stay out of L_CLIP, not even as
// negatives. Without L_CLIP, or without a text, a batch without regions has loss 0 and no
// gradients. The batch may lie on the CPU.
StepStats forward_backward(Cloc& model, const Batch& batch, const StepOptions& options);

// The temperature's cap: both logit scales stay at or below ln 100. A frozen one, and that of the
// sigmoid loss, which has no cap, are left alone.
void clamp_logit_scales(Cloc& model);

}  // namespace opencloc

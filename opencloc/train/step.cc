#include "opencloc/train/step.h"

#include <cmath>

#include <torch/utils.h>

#include "opencloc/train/accumulate.h"
#include "opencloc/train/captioning.h"

namespace opencloc {
namespace {

// Mean IoU of every given box [R, 4] with their mean box: what a head that ignores its input gets.
double constant_box_iou(const torch::Tensor& boxes) {
  const torch::NoGradGuard no_grad;
  const auto mean = boxes.mean(0, true).expand_as(boxes);
  return grounding_loss(mean, boxes, GroundingKind::kL2).mean_iou;
}

// Rows of L_grounding. A text that names two boxes of its picture asks for both at once: the mean
// of the two would be its best answer. Such regions are left out, as in evaluation.
torch::Tensor grounded(const torch::Tensor& of_regions, const Batch& batch) {
  if (!batch.names_one_box.defined()) return of_regions;
  return of_regions.index_select(0, batch.names_one_box.nonzero().squeeze(1));
}

void ground(const torch::Tensor& predicted, const Batch& batch, const StepOptions& options,
            torch::Tensor& total, StepStats& stats) {
  const auto boxes = grounded(batch.boxes, batch);  // [G, 4]
  const auto grounding = grounding_loss(grounded(predicted, batch), boxes, options.grounding_kind);
  total = total + options.grounding_weight * grounding.loss;
  stats.grounded = boxes.size(0);
  stats.grounding = grounding.loss.item<double>();
  stats.grounding_iou = grounding.mean_iou;
  stats.grounding_spread = grounding.predicted_spread;
  stats.grounding_inverted = grounding.inverted_share;
  stats.constant_box_iou = constant_box_iou(boxes);
}

}  // namespace

bool StepStats::finite() const { return std::isfinite(loss); }

torch::Tensor contrastive_loss(Cloc& model, const torch::Tensor& images, const torch::Tensor& texts,
                               const ContrastiveOptions& options) {
  const auto image = normalized(images), text = normalized(texts);  // [B, E]
  return model->logit_bias.defined()
             ? sigmoid_loss(image, text, model->logit_scale, model->logit_bias, options)
             : clip_loss(image, text, model->logit_scale, options);
}

torch::Tensor step_loss(Cloc& model, const StepOutputs& outputs, const TextBatch& texts,
                        const Batch& batch, const StepOptions& options, StepStats& stats) {
  stats.texts = texts.size();
  auto clip = torch::zeros({}, outputs.images.image.options());
  stats.captioned = texts.caption_row.size(0);
  if (options.forward.clip && stats.captioned > 0) {
    const auto captions = outputs.texts.index_select(0, texts.caption_row);  // [C, E]
    const auto images = texts.captioned.defined()
                            ? outputs.images.image.index_select(0, texts.captioned)
                            : outputs.images.image;  // [C, E]
    clip = contrastive_loss(model, images, captions, options.contrastive);
    stats.clip = clip.item<double>();
    stats.loss = stats.clip;
  }
  if (!outputs.images.regions.defined()) return clip;

  const auto region_texts = normalized(outputs.texts.index_select(0, texts.region_row));  // [R, E]
  const auto region =
      region_loss(normalized(outputs.images.regions), region_texts, batch.region_text_id,
                  model->region_logit_scale, options.filter, options.contrastive);
  auto localized = region.loss;
  if (outputs.images.predicted.defined())
    ground(outputs.images.predicted, batch, options, localized, stats);
  if (outputs.images.recovered.defined()) {
    const auto recovery =
        grounding_loss(outputs.images.recovered, batch.boxes, options.grounding_kind);
    localized = localized + options.grounding_weight * recovery.loss;
    stats.recovery = recovery.loss.item<double>();
    stats.recovered_iou = recovery.mean_iou;
  }
  const double lambda = region_weight(batch.images_with_regions, batch.images());
  const auto total = clip + lambda * localized;

  stats.region = region.loss.item<double>();
  stats.removed_share = region.removed_share;
  stats.similar_share = region.similar_share;
  stats.lambda = lambda;
  stats.regions = batch.regions();
  stats.loss = total.item<double>();
  return total;
}

StepStats forward_backward(Cloc& model, const Batch& host_batch, const StepOptions& options) {
  const auto device = model->logit_scale.device();
  const auto& forward = options.forward;
  if (forward.captions()) return captioning_forward_backward(model, host_batch, options);
  const bool texts_train =
      forward.clip && (!host_batch.has_text.defined() || host_batch.has_text.any().item<bool>());
  if (!texts_train && (!forward.regions() || host_batch.regions() == 0)) return {};
  const Batch batch = to_device(host_batch, device);
  const TextBatch texts =
      distinct_texts(host_batch, {.with_captions = forward.clip,
                                  .with_regions = forward.regions(),
                                  .cut = model->config().text.padding_is_ignored()})
          .to(device);
  if (options.accum_freq > 1) return cached_forward_backward(model, batch, texts, options);

  StepStats stats;
  StepOutputs outputs;
  outputs.texts = encode_texts(model, texts);  // [U, E]
  outputs.images =
      encode_images(model, batch, outputs.texts.index_select(0, texts.region_row), forward);
  const auto loss = step_loss(model, outputs, texts, batch, options, stats);
  if (stats.finite()) loss.backward();
  return stats;
}

void clamp_logit_scales(Cloc& model) {
  const torch::NoGradGuard no_grad;
  const double cap = std::log(100.0);
  model->region_logit_scale.clamp_max_(cap);
  const bool sigmoid = model->logit_bias.defined();
  if (!sigmoid && model->logit_scale.requires_grad()) model->logit_scale.clamp_max_(cap);
}

}  // namespace opencloc

// CLOC: L = L_CLIP + lambda (L_CLOC + L_grounding) (arXiv 2410.02746, section 3; spec/cloc.md
// section 3), with the text filter of L_CLOC's negatives, the recovery of a region's own box,
// L_quality where a model learns how well boxes hold objects, and crop distillation.
#include <cmath>
#include <map>
#include <vector>

#include <torch/utils.h>

#include "opencloc/base/log.h"
#include "opencloc/objective/clip.h"
#include "opencloc/objective/contrastive.h"
#include "opencloc/objective/crop_teacher.h"
#include "opencloc/ops/transfer.h"

namespace opencloc {
namespace {

constexpr double kRemovedShareWarning = 0.5;

// The regions `in_batch` [r] of the batch (in main memory) as prompts of one kind.
PromptBatch prompts_of_kind(const Batch& batch, PromptKind kind, const torch::Tensor& in_batch) {
  const auto image = batch.region_image.index_select(0, in_batch);
  const auto rows = ops::to_device(in_batch, batch.boxes.device());
  if (kind == PromptKind::kPoint) {
    return point_prompts(batch.points.index_select(0, rows).slice(1, 0, 1), image);
  }
  const auto boxes = batch.boxes.index_select(0, rows);
  if (kind == PromptKind::kMask) {
    return mask_prompts(boxes, batch.points.index_select(0, rows), image);
  }
  return box_prompts(boxes, image);
}

// -> [R, E]
torch::Tensor region_embeddings(Cloc& model, const ImageFeatures& features, const Batch& batch) {
  if (!batch.prompt_kind.defined()) {
    return model->encode_regions(features, box_prompts(batch.boxes, batch.region_image));
  }
  std::vector<torch::Tensor> rows, embeddings;
  for (const auto kind : {PromptKind::kBox, PromptKind::kPoint, PromptKind::kMask}) {
    const auto of_kind = batch.prompt_kind.eq(static_cast<int64_t>(kind)).nonzero().squeeze(1);
    if (of_kind.size(0) == 0) continue;
    rows.push_back(of_kind);
    embeddings.push_back(model->encode_regions(features, prompts_of_kind(batch, kind, of_kind)));
  }
  // Back from the order by kind to the order of the batch.
  const auto all = torch::cat(embeddings);  // [R, E]
  return all.index_select(0, ops::to_device(torch::cat(rows).argsort(), all.device()));
}

// Logits [q, 1] of the batch's boxes that the quality head learns from.
torch::Tensor rated_logits(Cloc& model, const ImageFeatures& features, const Batch& batch,
                           QualityReach reach) {
  const auto prompts = box_prompts(batch.rated_boxes, batch.rated_image);
  torch::Tensor z;  // [q, E]
  if (reach == QualityReach::kHead) {
    const torch::NoGradGuard no_grad;
    z = model->encode_regions(features, prompts);
  } else if (reach == QualityReach::kPrompter) {
    ImageFeatures apart;
    apart.tokens = features.for_regions().detach();
    z = model->encode_regions(apart, prompts);
  } else {
    z = model->encode_regions(features, prompts);
  }
  return model->quality_logits(z).unsqueeze(1);
}

// Mean IoU of every given box [R, 4] with their mean box: what a head that ignores its input gets.
torch::Tensor constant_box_iou(const torch::Tensor& boxes) {
  const torch::NoGradGuard no_grad;
  const auto mean = boxes.mean(0, true).expand_as(boxes);
  return grounding_loss(mean, boxes, GroundingKind::kL2).mean_iou;
}

// Rows of L_grounding. A text that names two boxes of its picture asks for both at once: the mean
// of the two would be its best answer. Such regions are left out, as in evaluation.
torch::Tensor grounded(const torch::Tensor& of_regions, const Batch& batch) {
  if (!batch.names_one_box.defined()) return of_regions;
  const auto rows = batch.names_one_box.nonzero().squeeze(1);  // [G], in main memory
  return of_regions.index_select(0, ops::to_device(rows, of_regions.device()));
}

double ratio(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

// Beside ClipWork's: "region" [R, E], "predicted" [R, 4] (boxes found from the region texts), with
// attention_weight "attended" [R, 1] (the logarithm of the attention inside the box),
// "recovered" [R, 4] (read back from the region embeddings), "quality" [Q, 1] (logits) and "crop"
// [C, 1] (cosines of regions with their crops, which need no label).
class ClocWork : public ClipWork {
 public:
  ClocWork(const Cloc& model, const Batch& batch, const ObjectiveOptions& objective,
           const WorkOptions& options, const TextFilter& filter)
      : ClipWork(model, batch, objective, options, /*with_regions=*/true), filter_(filter) {}

  Loss loss(const NamedRows& rows) override {
    const BackendScope scope(model()->backend());
    Loss total = ClipWork::loss(rows);
    if (all().regions > 0)
      add(localized_loss(rows), region_weight(all().with_regions, all().images), total);
    if (all().crops > 0)
      add(crop_loss(rows_or_none(rows, "crop", 1)), objective().crop_weight, total);
    return total;
  }

  Figures counts() const override {
    Figures figures = ClipWork::counts();
    const auto share = ratio(local().with_regions, local().images);
    figures.mean("lambda", share, static_cast<double>(local().images));
    figures.count("regions", local().regions);
    if (objective().grounding) figures.count("grounded_regions", local().grounded);
    return figures;
  }

 protected:
  void encode_regions(ImageFeatures& features, const BatchPart& part, const NamedRows& before,
                      NamedRows& rows) override {
    const bool crops = objective().crop_weight > 0 && part.batch.crops() > 0;
    if (part.batch.regions() == 0 && !crops) return;
    model()->prepare_prompts(features);
    if (crops) rows.append("crop", cosines_with_crops(features, part));
    if (part.batch.regions() == 0) return;
    const auto regions = region_embeddings(model(), features, part.batch);
    rows.append("region", regions);
    if (objective().quality_weight > 0 && part.batch.rated() > 0) {
      rows.append("quality",
                  rated_logits(model(), features, part.batch, objective().quality_reach));
    }
    if (!objective().grounding) return;
    const auto texts = before["text"].index_select(
        0, this->texts().region_row.slice(0, part.first_region, part.end_region));
    rows.append("predicted", model()->ground(features, texts, part.batch.region_image));
    if (objective().attention_weight > 0) {
      rows.append("attended", model()->log_attention_inside(
                                  features, texts, part.batch.region_image, part.batch.boxes));
    }
    if (objective().box_recovery) rows.append("recovered", model()->recover_boxes(regions));
  }

 private:
  static void add(const Loss& part, double weight, Loss& total) {
    total.value = weight * part.value +
                  (total.value.defined() ? total.value : torch::zeros({}, part.value.options()));
    total.figures.merge(part.figures);
  }

  // [c, 1]. The teacher says it once, however often the part is encoded.
  torch::Tensor cosines_with_crops(const ImageFeatures& features, const BatchPart& part) {
    auto& taught = taught_[&part];  // [c, E]
    if (!taught.defined())
      taught = objective().crop_teacher->embed(model(), part.batch.crop_pixels);
    const auto regions = model()->encode_regions(
        features, box_prompts(part.batch.crop_boxes, part.batch.crop_image));  // [c, E]
    return (normalized(regions) * taught).sum(1, /*keepdim=*/true);
  }

  // Of cosines [C, 1].
  Loss crop_loss(const torch::Tensor& cosines) const {
    const auto count = static_cast<double>(local().crops);
    const auto loss = local().crops > 0 ? 1 - cosines.mean() : cosines.sum();
    Loss part{ratio(local().crops, all().crops) * loss, {}};
    part.figures.mean("loss_crop", loss, count);
    part.figures.mean("constant_loss_crop", constant_crop_loss(), count);
    return part;
  }

  // What the best answer gets that is the same for all crops: regions that say more are below it.
  torch::Tensor constant_crop_loss() const {
    std::vector<torch::Tensor> parts;
    for (const auto& [part, taught] : taught_) parts.push_back(taught);
    if (parts.empty()) return torch::zeros({});
    return 1 - torch::cat(parts).mean(0).norm();
  }

  // [R] where the regions lie, mean 1 over all processes; undefined: all alike.
  torch::Tensor region_weight_over_mean() {
    if (!batch().region_weight.defined()) return {};
    return over_mean(batch().region_weight, *objective().contrastive.group);
  }

  // L_CLOC + weight L_text_contrast + weight (L_grounding + recovery) + weight L_quality.
  Loss localized_loss(const NamedRows& rows) {
    const int64_t width = model()->config().embed_dim;
    const auto region_texts =
        normalized(rows_or_none(rows, "text", width).index_select(0, texts().region_row));
    const auto regions = normalized(rows_or_none(rows, "region", width));
    ContrastiveOptions contrastive = objective().contrastive;
    contrastive.weight = weight_ = region_weight_over_mean();
    const auto region = region_loss(regions, region_texts, batch().region_text_id,
                                    model()->region_logit_scale, filter_, contrastive);
    Loss loss{region.loss, {}};
    loss.figures.sum("loss_region", region.loss);
    loss.figures.mean("removed_share", region.removed_share, region.pairs);
    loss.figures.mean("similar_share", region.similar_share, region.distinct_pairs);
    if (objective().text_contrast_weight > 0) add_text_contrast(region_texts, loss);
    if (all().with_negatives > 0) {
      add_hard_negatives(
          regions, region_texts,
          normalized(rows_or_none(rows, "text", width).index_select(0, texts().negative_row)),
          loss);
    }
    if (objective().grounding) {
      if (objective().attention_weight > 0)
        add_attention(rows_or_none(rows, "attended", 1).squeeze(1), loss);
      add_grounding(rows_or_none(rows, "predicted", 4), loss);
      if (objective().box_recovery) add_recovery(rows_or_none(rows, "recovered", 4), loss);
    }
    if (objective().quality_weight > 0 && all().rated > 0)
      add_quality(rows_or_none(rows, "quality", 1).squeeze(1), loss);
    return loss;
  }

  void add_text_contrast(const torch::Tensor& region_texts, Loss& total) {
    const auto contrast =
        text_contrast_loss(region_texts, batch().region_text_id, model()->region_logit_scale,
                           objective().text_contrast_threshold, objective().contrastive);
    total.value = total.value + objective().text_contrast_weight * contrast.loss;
    total.figures.sum("loss_text_contrast", contrast.loss);
    total.figures.mean("text_contrast_left_out", contrast.left_out_share, contrast.pairs);
  }

  void add_hard_negatives(const torch::Tensor& regions, const torch::Tensor& region_texts,
                          const torch::Tensor& negatives, Loss& total) {
    const auto none = torch::zeros({0}, torch::kInt64);
    const auto hard =
        hard_negative_loss(regions, region_texts, negatives,
                           local().with_negatives > 0 ? batch().negative_region : none,
                           model()->hard_negative_logit_scale);
    const double share = ratio(local().with_negatives, all().with_negatives);
    total.value = total.value + (objective().hard_negative_weight * share) * hard.loss;
    const auto count = static_cast<double>(hard.regions);
    total.figures.mean("loss_hard_negatives", hard.loss, count);
    total.figures.mean("hard_negatives_right", hard.accuracy, count);
  }

  // attended [R]
  void add_attention(const torch::Tensor& attended, Loss& total) {
    const auto inside = grounded(attended, batch());  // [G]
    const auto count = static_cast<double>(local().grounded);
    const double share = ratio(local().grounded, all().grounded);
    const auto loss = local().grounded > 0 ? -inside.mean() : -inside.sum();
    total.value = total.value + (objective().attention_weight * share) * loss;
    total.figures.mean("loss_attention", loss, count);
    total.figures.mean("attention_inside", inside.detach().exp().mean(), count);
  }

  void add_quality(const torch::Tensor& logits, Loss& total) {
    const auto iou =
        local().rated > 0 ? batch().rated_iou : torch::zeros({0}, logits.options());  // [Q]
    const auto quality = quality_loss(logits, iou);
    const double share = ratio(local().rated, all().rated);
    total.value = total.value + (objective().quality_weight * share) * quality.loss;
    const auto count = static_cast<double>(local().rated);
    total.figures.mean("loss_quality", quality.loss, count);
    total.figures.mean("quality_error", quality.error, count);
    total.figures.mean("constant_quality_error", quality.constant_error, count);
  }

  void add_grounding(const torch::Tensor& predicted, Loss& total) {
    const auto boxes = grounded(batch().boxes, batch());  // [G, 4]
    const auto grounding =
        grounding_loss(grounded(predicted, batch()), boxes, objective().grounding_kind,
                       weight_.defined() ? grounded(weight_, batch()) : weight_);
    const double share = ratio(local().grounded, all().grounded);
    total.value = total.value + (objective().grounding_weight * share) * grounding.loss;
    const auto count = static_cast<double>(local().grounded);
    total.figures.mean("loss_grounding", grounding.loss, count);
    total.figures.mean("grounding_iou", grounding.mean_iou, count);
    total.figures.mean("constant_box_iou", constant_box_iou(boxes), count);
    total.figures.mean("grounding_spread", grounding.predicted_spread, count);
    total.figures.mean("grounding_inverted", grounding.inverted_share, count);
  }

  void add_recovery(const torch::Tensor& recovered, Loss& total) {
    const auto recovery =
        grounding_loss(recovered, batch().boxes, objective().grounding_kind, weight_);
    const double share = ratio(local().regions, all().regions);
    total.value = total.value + (objective().grounding_weight * share) * recovery.loss;
    const auto count = static_cast<double>(local().regions);
    total.figures.mean("loss_recovery", recovery.loss, count);
    total.figures.mean("recovered_iou", recovery.mean_iou, count);
  }

  const TextFilter filter_;
  torch::Tensor weight_;  // region_weight_over_mean(), of the loss that is being made
  std::map<const BatchPart*, torch::Tensor> taught_;  // [c, E] each
};

class ClocObjective : public Objective {
 public:
  ClocObjective(const Cloc& model, const ObjectiveOptions& options)
      : model_(model), options_(options), filter_(options.filter) {}

  std::unique_ptr<BatchWork> work(const Batch& batch, const WorkOptions& options) override {
    return std::make_unique<ClocWork>(model_, batch, options_, options, filter_.filter());
  }

  void after_step(const Figures& figures, int64_t step, bool warm) override {
    // Before training, texts may lie far apart and then fall together: what the filter would do
    // during warm-up says nothing.
    if (warm && figures.at("regions") > 1) observe_filter(figures.at("similar_share"), step);
    const double removed = figures.at("removed_share");
    if (removed <= kRemovedShareWarning || warned_) return;
    warned_ = true;
    log::warn(
        "step {}: {:.0f}% of the region pairs are no negatives (equal or similar texts); "
        "L_CLOC learns little from such batches",
        step, 100 * removed);
  }

  Json state() const override { return filter_.state(); }
  void load_state(const Json& state, std::string_view where) override {
    filter_.load(state, where);
  }

  Json log() const override {
    Json line = {{"text_filter_open", filter_.open()},
                 {"region_logit_scale", model_->region_logit_scale.exp().item<double>()}};
    if (model_->hard_negative_logit_scale.defined())
      line["hard_negative_logit_scale"] = model_->hard_negative_logit_scale.exp().item<double>();
    line.update(temperatures(model_));
    return line;
  }

 private:
  void observe_filter(double similar_share, int64_t step) {
    const double threshold = options_.filter.threshold;
    switch (filter_.observe(similar_share)) {
      case FilterChange::kNone:
        return;
      case FilterChange::kOpens:
        log::info(
            "text filter: the {:g} test opens after step {} (it removes {:.1f}% of the pairs of "
            "distinct texts)",
            threshold, step, 100 * similar_share);
        return;
      case FilterChange::kCloses:
        log::warn(
            "text filter: the {:g} test closes after step {}: it removed {:.1f}% of the pairs of "
            "distinct texts, whose embeddings have drifted together",
            threshold, step, 100 * similar_share);
        return;
    }
  }

  const Cloc model_;
  const ObjectiveOptions options_;
  FilterSchedule filter_;
  bool warned_ = false;
};

}  // namespace

std::unique_ptr<Objective> make_cloc(const Cloc& model, const ObjectiveOptions& options) {
  return std::make_unique<ClocObjective>(model, options);
}

}  // namespace opencloc

#include "opencloc/objective/distillation.h"

#include <algorithm>
#include <cmath>

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/model/layers/initial.h"
#include "opencloc/objective/beside.h"
#include "opencloc/objective/masks.h"
#include "opencloc/objective/moving_average.h"
#include "opencloc/ops/transfer.h"

namespace opencloc {
namespace {

// iBOT's and DINOv2's: of the centres; what the teacher's temperature begins with, and for which
// share of the run it rises (30 of DINOv2's 100 epochs).
constexpr double kCentreMomentum = 0.9;
constexpr double kFirstTeacherTemperature = 0.04, kTeacherWarmUp = 0.3;

// A part of the batch, on the model's device.
struct DistilledPart {
  torch::Tensor pixels;  // [b, 3, H, W] or bytes
  torch::Tensor hidden;  // [b, N] bool
  torch::Tensor rows;    // [n]: of the scored places, in the [b T] tokens
  double places = 0, images = 0;
};

class DistilledWork : public WorkBeside {
 public:
  DistilledWork(std::unique_ptr<BatchWork> base, const Cloc& model,
                const SelfDistillation& distillation, const DistillationOptions& options,
                const Batch& batch, const WorkOptions& work)
      : WorkBeside(std::move(base)), model_(model), distillation_(distillation), options_(options) {
    const auto device = model->logit_scale.device();
    const int64_t size = std::max<int64_t>(1, (batch.images() + work.parts - 1) / work.parts);
    auto counts = torch::zeros({2}, torch::kDouble);
    for (int64_t begin = 0; begin < batch.images(); begin += size) {
      const int64_t end = std::min(batch.images(), begin + size);
      parts_.push_back(part(batch, begin, end, device));
      counts[0] += parts_.back().places;
      counts[1] += parts_.back().images;
    }
    work.group->sum(counts);
    all_ = {counts[0].item<double>(), counts[1].item<double>()};
    distillation_->begin(all_);
  }

  bool empty() const override { return all_.images == 0; }

  Figures counts() const override {
    Figures figures = WorkBeside::counts();
    if (!parts_.empty()) return figures;
    // The same names in all processes.
    if (options_.weight > 0) {
      figures.mean("loss_distill", 0, 0);
      figures.mean("distill_place_entropy", 0, 0);
    }
    if (options_.global_weight > 0) figures.mean("loss_distill_global", 0, 0);
    return figures;
  }

 protected:
  int64_t own_pieces() const override { return static_cast<int64_t>(parts_.size()); }
  Encoded encode_own(int64_t piece, bool own_loss) override {
    Encoded encoded;
    if (own_loss) encoded.own = loss_of(parts_[static_cast<size_t>(piece)]);
    return encoded;
  }

 private:
  DistilledPart part(const Batch& batch, int64_t begin, int64_t end, torch::Device device) const {
    const auto& vision = model_->config().vision;
    const auto order = batch.patch_order.slice(0, begin, end);  // [b, N]
    const auto hidden = hide_patches(order, options_.mask);
    const auto scored = options_.places == ScoredPlaces::kAll ? real_patches(order) : hidden;
    const auto at = scored.nonzero();  // [n, 2]
    const int64_t first = vision.class_token ? 1 : 0;
    const auto rows = at.select(1, 0) * vision.tokens() + at.select(1, 1) + first;  // [n]
    return {ops::to_device(batch.pixels.slice(0, begin, end), device),
            ops::to_device(hidden, device), ops::to_device(rows, device),
            static_cast<double>(rows.size(0)), static_cast<double>(end - begin)};
  }

  // What a tower says in the scored places, as iBOT has it: after the last norm -> [n, D].
  static torch::Tensor scored_tokens(VisionTower& tower, const ImageFeatures& features,
                                     const DistilledPart& part) {
    return tower->post_norm(features.tokens.flatten(0, 1).index_select(0, part.rows));
  }

  struct Taught {
    torch::Tensor places, images;  // distributions [n, K], [b, K]
  };
  Taught teach(const DistilledPart& part) {
    const torch::NoGradGuard no_grad;
    auto& tower = distillation_->teacher_tower;
    const auto features = tower(model_->normalized_pixels(part.pixels));
    Taught taught;
    if (options_.weight > 0) {
      taught.places = distillation_->distributions_of_places(
          distillation_->teacher_head(scored_tokens(tower, features, part)));
    }
    if (options_.global_weight > 0) {
      taught.images =
          distillation_->distributions_of_images(distillation_->teacher_head(features.pooled));
    }
    return taught;
  }

  Loss loss_of(const DistilledPart& part) {
    const ComputeScope scope(model_->precision(), model_->backend());
    const Taught taught = teach(part);
    EncodeOptions masked;
    masked.hidden = part.hidden;
    masked.hidden_patch = distillation_->hidden_patch;
    const auto features = model_->encode_image(part.pixels, masked);
    Loss loss;
    if (options_.weight > 0) {
      const auto logits =
          distillation_->head(scored_tokens(model_->visual, features, part));  // [n, K]
      const auto sum = distillation_loss(logits, taught.places, options_.temperature);
      add(sum, options_.weight, all_.places, loss);
      loss.figures.mean("loss_distill", sum / std::max(1.0, part.places), part.places);
      loss.figures.mean("distill_place_entropy", entropy(taught.places).mean(), part.places);
    }
    if (options_.global_weight > 0) {
      const auto sum = distillation_loss(distillation_->head(features.pooled), taught.images,
                                         options_.temperature);
      add(sum, options_.global_weight, all_.images, loss);
      loss.figures.mean("loss_distill_global", sum / part.images, part.images);
    }
    return loss;
  }

  static void add(const torch::Tensor& sum, double weight, double all, Loss& loss) {
    const auto share = weight / std::max(1.0, all) * sum;
    loss.value = loss.value.defined() ? loss.value + share : share;
  }

  Cloc model_;
  SelfDistillation distillation_;
  const DistillationOptions options_;
  std::vector<DistilledPart> parts_;
  SelfDistillationImpl::Scored all_;
};

class Distilled : public ObjectiveBeside {
 public:
  Distilled(std::unique_ptr<Objective> base, const Cloc& model,
            const SelfDistillation& distillation, const DistillationOptions& options)
      : ObjectiveBeside(std::move(base)),
        model_(model),
        distillation_(distillation),
        options_(options) {}

  std::unique_ptr<BatchWork> work(const Batch& batch, const WorkOptions& options) override {
    return std::make_unique<DistilledWork>(base_->work(batch, options), model_, distillation_,
                                           options_, batch, options);
  }
  Json log() const override {
    Json log = base_->log();
    if (const auto value = distillation_->mean_entropy()) log["distill_entropy"] = *value;
    return log;
  }

 private:
  const Cloc model_;
  const SelfDistillation distillation_;
  const DistillationOptions options_;
};

}  // namespace

double DistillationOptions::momentum_after(int64_t updates) const {
  const double done = std::min(1.0, static_cast<double>(updates) / static_cast<double>(steps));
  return momentum_end - (momentum_end - momentum) * (1 + std::cos(M_PI * done)) / 2;
}

double DistillationOptions::teacher_temperature_after(int64_t updates) const {
  const double first = std::min(kFirstTeacherTemperature, teacher_temperature);
  const double warm =
      std::min(1.0, static_cast<double>(updates) / (kTeacherWarmUp * static_cast<double>(steps)));
  return first + (teacher_temperature - first) * warm;
}

SelfDistillationImpl::SelfDistillationImpl(const DistillationOptions& options,
                                           const ModelConfig& model)
    : options_(options), updates_(torch::zeros({1}, torch::kInt64)) {
  hidden_patch = register_parameter("hidden_patch", torch::zeros({model.vision.width}));
  head = register_module("head", PrototypeHead(options.head, model.vision.width));
  places_.centre = register_buffer("centre", torch::zeros({options.head.prototypes}));
  images_.centre = register_buffer("global_centre", torch::zeros({options.head.prototypes}));
  const initial::FromFiles not_drawn;
  auto teacher = register_module("teacher", std::make_shared<torch::nn::Module>("teacher"));
  teacher_tower = teacher->register_module("visual", VisionTower(model));
  teacher_head = teacher->register_module("head", PrototypeHead(options.head, model.vision.width));
  for (auto& weight : teacher->parameters()) weight.requires_grad_(false);
}

void SelfDistillationImpl::start(const Cloc& model) { follow(model, /*momentum=*/0); }

SelfDistillationImpl::Weights SelfDistillationImpl::trained() const {
  Weights weights;
  for (const auto& item : named_parameters()) {
    if (item.value().requires_grad())
      weights.emplace_back("distillation." + item.key(), item.value());
  }
  return weights;
}

SelfDistillationImpl::Weights SelfDistillationImpl::beside() const {
  Weights weights;
  for (const auto& item : named_parameters())
    weights.emplace_back("distillation." + item.key(), item.value());
  for (const auto& item : named_buffers())
    weights.emplace_back("distillation." + item.key(), item.value());
  weights.emplace_back("distillation.updates", updates_);
  return weights;
}

void SelfDistillationImpl::begin(const Scored& scored) {
  for (auto* side : {&places_, &images_}) side->sums = torch::Tensor();
  places_.scored = options_.weight > 0 ? scored.places : 0;
  images_.scored = options_.global_weight > 0 ? scored.images : 0;
}

torch::Tensor SelfDistillationImpl::distributions(const torch::Tensor& logits, Side& side) {
  const torch::NoGradGuard no_grad;
  const double temperature = options_.teacher_temperature_after(updates_.item<int64_t>());
  auto said = teacher_distribution(logits, side.centre, temperature);  // [n, K]
  const auto sums = torch::stack({logits.sum(0), said.sum(0)});        // [2, K]
  side.sums = side.sums.defined() ? side.sums + sums : sums;
  return said;
}

torch::Tensor SelfDistillationImpl::distributions_of_places(const torch::Tensor& logits) {
  return distributions(logits, places_);
}
torch::Tensor SelfDistillationImpl::distributions_of_images(const torch::Tensor& logits) {
  return distributions(logits, images_);
}

void SelfDistillationImpl::follow_batch(Side& side, dist::Group& group) {
  if (side.scored == 0) return;  // in all processes
  if (!side.sums.defined())
    side.sums = torch::zeros({2, side.centre.size(0)}, side.centre.options());
  group.sum(side.sums);
  const auto mean = side.sums / side.scored;  // [2, K]
  side.centre.mul_(kCentreMomentum).add_(mean[0], 1 - kCentreMomentum);
  entropy_ = entropy(mean[1]);
}

void SelfDistillationImpl::after_update(const Cloc& model, dist::Group& group) {
  const torch::NoGradGuard no_grad;
  follow_batch(images_, group);
  follow_batch(places_, group);  // the entropy is theirs where there are any
  follow(model, options_.momentum_after(updates_.item<int64_t>()));
  updates_ += 1;
  begin({});
}

void SelfDistillationImpl::follow(const Cloc& model, double momentum) {
  opencloc::follow(*model->visual, *teacher_tower, momentum);
  opencloc::follow(*head, *teacher_head, momentum);
}

std::optional<double> SelfDistillationImpl::mean_entropy() const {
  return entropy_.defined() ? std::optional(entropy_.item<double>()) : std::nullopt;
}

void check_distillation(const ModelConfig& model, const DistillationOptions& options) {
  if (!options.on() || (!model.multimodal && !model.vision.attentional_pool)) return;
  throw Error::input("a captioner is not trained with self-distillation",
                     "settings 'distill_weight' and 'distill_global_weight'",
                     "leave them out, or use a model without a text decoder");
}

std::unique_ptr<Objective> with_distillation(std::unique_ptr<Objective> base, const Cloc& model,
                                             const SelfDistillation& distillation,
                                             const DistillationOptions& options) {
  check_distillation(model->config(), options);
  return std::make_unique<Distilled>(std::move(base), model, distillation, options);
}

}  // namespace opencloc

#include "opencloc/train/trainer.h"

#include <memory>
#include <utility>

#include <spdlog/fmt/fmt.h>

#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/model/clip/preprocess.h"
#include "opencloc/train/preflight.h"
#include "opencloc/train/reconstructions.h"
#include "opencloc/train/setup.h"
#include "opencloc/train/start_together.h"
#include "opencloc/train/step.h"

namespace opencloc {
namespace {

int64_t weight_count(const NamedTensors& weights) {
  int64_t count = 0;
  for (const auto& [name, weight] : weights) count += weight.numel();
  return count;
}

// Two towers, and the region part where the objective trains it.
class ClocTrainee : public Trainee {
 public:
  explicit ClocTrainee(TrainConfig config) : config_(std::move(config)) {
    config_.check();
    config_.read_entities();
  }

  const RunConfig& config() const override { return config_; }
  void complete(uint64_t data_samples) override { config_.complete(data_samples); }

  void set_up(const SampleStore& store, const std::optional<Checkpoint>& checkpoint) override {
    parts_ = opencloc::set_up(config_, store, checkpoint);
    check_self_supervision(parts_.model->config(), config_.self_supervision);
    check_distillation(parts_.model->config(), config_.distillation);
    check_crop_distillation(parts_.model->config(), config_.crop_distillation);
    make_beside();
    if (checkpoint) read_beside(*checkpoint, beside());
  }

  void share(dist::Group& group) override {
    group_ = &group;
    parts_ = share_parts(group, std::move(parts_));
    config_.sample.canvas = canvas_options(parts_.model->config());
    config_.sample.context_length = parts_.model->config().text.context_length;
    config_.sample.crop_size =
        static_cast<int>(config_.crop_distillation.size_for(parts_.model->config()));
    const int64_t grid = parts_.model->config().vision.grid();
    const SelfSupervisionOptions& options = config_.self_supervision;
    if (options.masks_image() || config_.distillation.on() ||
        config_.objective_options.patch_dropout > 0)
      config_.sample.ordered_grid = grid;
    config_.sample.ordered_words = options.mlm_weight > 0;
    config_.sample.views = options.simclr_weight > 0;
    if (!group.is_first()) make_beside();
    share_tensors(group, this->beside());
    ObjectiveOptions objective = config_.objective_options;
    if (crop_teacher_) objective.crop_teacher = crop_teacher_.ptr();
    SelfSupervisionOptions beside = options;
    if (options.joint) {  // the masked losses are the objective itself
      objective.heads = heads_.ptr();
      objective.self_supervision = std::make_shared<SelfSupervisionOptions>(options);
      beside.mae_weight = beside.mlm_weight = 0;
    }
    objective_ = config_.objective->make(parts_.model, objective);
    if (entity_head_) {
      const auto& table = config_.sample.entities->fingerprint();
      require_equal(group, "entity_classes = " + table + "\n");
      objective_ =
          with_entities(std::move(objective_), parts_.model, entity_head_, config_.entities, table);
    }
    if (distillation_) {
      objective_ = with_distillation(std::move(objective_), parts_.model, distillation_,
                                     config_.distillation);
    }
    if (beside.on())
      objective_ = with_self_supervision(std::move(objective_), parts_.model, heads_, beside);
  }

  NamedTensors place() override {
    parts_.model->to(torch::Device(config_.device));
    parts_.model->set_precision(config_.precision);
    parts_.model->set_backend(config_.backend);
    parts_.model->train();
    lock_towers(parts_.model, config_.lock);
    if (config_.objective->masked) lock_all_but_encoder(parts_.model);
    NamedTensors trained = trainable(parts_.model->clip_weights());
    if (config_.objective->regions) {
      for (auto& weight : parts_.model->region_weights()) trained.push_back(weight);
    }
    if (heads_) {
      heads_->to(torch::Device(config_.device));
      for (auto& weight : heads_->weights()) trained.push_back(weight);
    }
    if (distillation_) {
      distillation_->to(torch::Device(config_.device));
      for (auto& weight : distillation_->trained()) trained.push_back(weight);
    }
    if (crop_teacher_) crop_teacher_->to(torch::Device(config_.device));
    if (entity_head_) entity_head_->to(torch::Device(config_.device));
    return trained;
  }

  std::string look_ahead(const SampleStore& store, const NamedTensors& trained) override {
    NamedTensors all = parts_.model->clip_weights();
    for (auto& weight : parts_.model->region_weights()) all.push_back(weight);
    for (auto& weight : beside()) all.push_back(weight);
    return preflight(config_, parts_.model->config(), weight_count(all), weight_count(trained),
                     store, *parts_.tokenizer)
        .table();
  }

  SampleOptions samples() const override { return config_.sample; }
  PixelOptions pixels() const override {
    const auto& preprocess = parts_.model->config().preprocess;
    return {.mean = preprocess.mean, .std = preprocess.std};
  }
  std::optional<ImageSizes> image_sizes() const override {
    const auto& schedule = config_.image_size_schedule;
    if (!schedule) return std::nullopt;
    return ImageSizes{schedule->size, parts_.model->config().vision.image_size,
                      schedule->early_steps(config_.steps)};
  }
  const Tokenizer& tokenizer() const override { return *parts_.tokenizer; }

  Objective& objective() override { return *objective_; }
  void before_update() override { hold_capped_logit_scales(parts_.model); }
  void after_update() override {
    clamp_logit_scales(parts_.model);
    if (distillation_) distillation_->after_update(parts_.model, *group_);
    if (crop_teacher_) crop_teacher_->after_update(parts_.model);
  }
  std::shared_ptr<EntityHead> entity_head() override { return entity_head_; }

  bool evaluates() const override { return config_.evaluate != nullptr; }
  Json evaluate(int64_t step, dist::Group& group) override {
    Json results = config_.evaluate(parts_.model, *parts_.tokenizer, step, group);
    parts_.model->train();
    return results;
  }

  void save(const std::filesystem::path& folder, const Json& about) const override {
    SaveOptions options;
    options.tokenizer = parts_.tokenizer.get();
    options.about = about;
    options.about["objective"] = config_.objective->name;
    options.region_heads = config_.objective->regions;
    save_model(folder, parts_.model, options);
  }
  NamedTensors beside() const override {
    NamedTensors all;
    if (heads_) all = heads_->weights();
    if (distillation_) {
      for (auto& weight : distillation_->beside()) all.push_back(weight);
    }
    if (crop_teacher_) {
      for (auto& weight : crop_teacher_->beside()) all.push_back(weight);
    }
    if (entity_head_) {
      for (auto& tensor : entity_head_->tensors()) all.push_back(tensor);
    }
    return all;
  }
  std::string title() const override {
    const bool beside = entity_head_ && !config_.objective->entities_only;
    return fmt::format("({}{}), {}", config_.objective->title, beside ? " and entities" : "",
                       parts_.model->config().name);
  }
  std::vector<ReportPicture> pictures(const SampleStore& store) override {
    auto pictures = report_pictures(store, parts_, config_, config_.report_pictures);
    if (config_.self_supervision.mae_weight > 0)
      add_reconstructions(store, parts_, heads_, config_, pictures);
    return pictures;
  }

 private:
  // What is trained beside the model, where there is anything.
  void make_beside() {
    const ModelConfig& model = parts_.model->config();
    torch::manual_seed(config_.seed);
    if (config_.self_supervision.on())
      heads_ = SelfSupervisionHeads(config_.self_supervision, model);
    if (config_.learns_entities()) {
      entity_head_ = std::make_shared<EntityHead>(config_.sample.entities->classes(),
                                                  model.embed_dim, config_.seed);
    }
    if (config_.distillation.on()) {
      distillation_ = SelfDistillation(config_.distillation, model);
      distillation_->start(parts_.model);
    }
    if (!config_.crop_distillation.on()) return;
    crop_teacher_ = CropTeacher(config_.crop_distillation, model);
    crop_teacher_->start(parts_.model);
  }

  TrainConfig config_;
  TrainedParts parts_;
  SelfSupervisionHeads heads_{nullptr};      // with self-supervision only
  std::shared_ptr<EntityHead> entity_head_;  // with classes of entities only
  SelfDistillation distillation_{nullptr};   // with self-distillation only
  CropTeacher crop_teacher_{nullptr};        // with crop distillation only
  dist::Group* group_ = &dist::alone();
  std::unique_ptr<Objective> objective_;
};

}  // namespace

TrainResult train(TrainConfig config, dist::Group& group) {
  ClocTrainee trainee(std::move(config));
  return train(trainee, group);
}

}  // namespace opencloc

#include "opencloc/train/config.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "opencloc/base/error.h"
#include "opencloc/base/parallel_for.h"

namespace opencloc {
namespace {

constexpr int64_t kRatedBoxes = 8;  // a picture, for the quality head

void require(bool holds, const char* what, const char* setting, const char* mend) {
  if (!holds) throw Error::input(what, setting, mend);
}

void check_length(const RunConfig& config) {
  constexpr const char* kSettings = "settings 'steps', 'samples' and 'epochs'";
  const int given = (config.steps != 0) + (config.samples != 0) + (config.epochs != 0);
  const bool negative = config.steps < 0 || config.samples < 0 || !(config.epochs >= 0);
  require(given > 0, "the run has no length", kSettings, "give one of them, above 0");
  require(given == 1, "the run has more than one length", kSettings, "give one of them, above 0");
  require(!negative, "the run has a negative length", kSettings, "give one of them, above 0");
}

void check_locks(const TrainConfig& config) {
  const LockOptions& lock = config.lock;
  require((!lock.image && !lock.text) || !config.init.empty(),
          "a tower that has learned nothing is frozen", "settings 'lock_image' and 'lock_text'",
          "give the setting 'init' a model directory");
  require(lock.image || lock.image_unlocked_groups == 0,
          "groups are unlocked in an image tower that is not frozen",
          "setting 'lock_image_unlocked_groups'", "add the setting 'lock_image'");
  require(lock.text || lock.text_unlocked_groups == 0,
          "layers are unlocked in a text tower that is not frozen",
          "setting 'lock_text_unlocked_layers'", "add the setting 'lock_text'");
  require(!lock.both_whole() || config.objective->regions || config.objective->captions,
          "nothing is left to train", "settings 'lock_image' and 'lock_text'",
          "unlock a group, or use the setting 'objective=cloc'");
}

void check_objective_options(const TrainConfig& config) {
  const ObjectiveOptions& options = config.objective_options;
  const auto is_weight = [](double value) { return value >= 0 && std::isfinite(value); };
  require(options.filter.threshold > 0 && options.filter.threshold <= 1,
          "the cosine of the text filter is not in (0, 1]", "setting 'text_filter'",
          "give a cosine such as 0.9, off or none");
  require(is_weight(options.text_contrast_weight),
          "the weight of a loss is not a number of at least 0", "setting 'text_contrast_weight'",
          "0.1 is usual");
  require(options.text_contrast_weight == 0 || config.objective->regions,
          "region texts are not read", "setting 'text_contrast_weight'",
          "leave it out, or use the setting 'objective=cloc'");
  require(is_weight(options.hard_negative_weight),
          "the weight of a loss is not a number of at least 0", "setting 'hard_negative_weight'",
          "0 leaves it out");
  require(options.hard_negative_weight == 0 || config.objective->regions,
          "hard negatives are of regions", "setting 'hard_negative_weight'",
          "leave it out, or use the setting 'objective=cloc'");
  require(options.hard_negative_weight == 0 || config.sample.hard_negatives > 0,
          "no hard negative is drawn", "setting 'hard_negatives'", "give 1 or more");
  require(is_weight(options.attention_weight), "the weight of a loss is not a number of at least 0",
          "setting 'attention_weight'", "0 leaves it out");
  require(options.attention_weight == 0 || (config.objective->regions && options.grounding),
          "the attention of text prompts is trained with grounding alone",
          "setting 'attention_weight'",
          "leave it out, or use the settings 'objective=cloc' and 'grounding=on'");
  require(options.text_contrast_weight == 0 || !config.lock.text ||
              config.lock.text_unlocked_groups > 0,
          "the text tower, which the contrast of texts trains, is frozen",
          "setting 'text_contrast_weight'", "leave it out, or the setting 'lock_text'");
  require(is_weight(options.contrastive_weight),
          "the weight of a loss is not a number of at least 0",
          "setting 'coca_contrastive_loss_weight'", "1 is usual");
  require(is_weight(options.caption_weight), "the weight of a loss is not a number of at least 0",
          "setting 'coca_caption_loss_weight'", "2 is usual");
  require(is_weight(options.quality_weight), "the weight of a loss is not a number of at least 0",
          "setting 'quality_weight'", "0 trains no quality head");
  require(options.quality_weight == 0 || config.objective->regions,
          "the quality of regions cannot be learned without regions", "setting 'quality_weight'",
          "leave it out, or use the setting 'objective=cloc'");
  require(!config.objective->captions || options.contrastive_weight + options.caption_weight > 0,
          "both losses of the captioner have the weight 0",
          "settings 'coca_contrastive_loss_weight' and 'coca_caption_loss_weight'",
          "1 and 2 are usual");
}

void check_self_supervision_of(const TrainConfig& config) {
  const SelfSupervisionOptions& options = config.self_supervision;
  const auto weight = [](double value, const char* setting) {
    require(value >= 0 && std::isfinite(value),
            "the weight of a loss is not a number of at least 0", setting, "0 leaves it out");
  };
  weight(options.mae_weight, "setting 'mae_weight'");
  weight(options.mlm_weight, "setting 'mlm_weight'");
  weight(options.simclr_weight, "setting 'simclr_weight'");
  const auto share = [](double value, const char* setting) {
    require(value > 0 && value < 1, "the share that is hidden is not between 0 and 1", setting,
            "0.75 is usual: something must be seen, and something restored");
  };
  share(options.mae_mask, "setting 'mae_mask'");
  share(options.mlm_mask, "setting 'mlm_mask'");
  require(
      options.decoder.width >= 4 && options.decoder.width % 4 == 0 && options.decoder.layers >= 1 &&
          (options.decoder.width < 32 || options.decoder.width % (options.decoder.width / 32) == 0),
      "a decoder of this size cannot be built", "setting 'mae_decoder'",
      "give LAYERSxWIDTH with a width that is a multiple of 32, such as 2x128");
  require(options.simclr_temperature >= 0.01 && std::isfinite(options.simclr_temperature),
          "a temperature below 0.01", "setting 'simclr_temperature'", "0.1 is usual");
  require(options.simclr.hidden >= 1 && options.simclr.out >= 1, "a head without width",
          "settings 'simclr_width' and 'simclr_dim'", "4096 and 256 are SLIP's");
  require(!options.on() || !config.lock.image,
          "the image tower, which self-supervision trains, is frozen",
          "settings 'mae_weight', 'mlm_weight' and 'simclr_weight'",
          "leave them out, or the setting 'lock_image'");
  require(!options.on() || !config.objective->captions,
          "a captioner is not trained with self-supervision",
          "settings 'mae_weight', 'mlm_weight' and 'simclr_weight'", "leave them out");
  require(!config.objective->masked || options.masks(), "both losses of M3AE have the weight 0",
          "settings 'mae_weight' and 'mlm_weight'", "1 and 0.5 are usual");
  require(!config.objective->masked || !config.siglip, "M3AE has no L_CLIP", "setting 'siglip'",
          "leave it out, or use the setting 'objective=clip'");
  require(!config.objective->masked || options.mlm_sees == WordContext::kImage,
          "M3AE reads words together with the picture", "setting 'mlm_sees'", "leave it out");
  const double dropout = config.objective_options.patch_dropout;
  require(dropout >= 0 && dropout < 1, "the share of patches that are dropped is not in [0, 1)",
          "setting 'patch_dropout'", "0.5 is usual");
  require(dropout == 0 || !(config.objective->regions || config.objective->captions),
          "regions and captions need all patches", "setting 'patch_dropout'",
          "leave it out, or use the setting 'objective=clip'");
  require(dropout == 0 || !config.objective->entities_only,
          "patches are left out of L_CLIP's pass, which is not made", "setting 'patch_dropout'",
          "leave it out, or use the setting 'objective=clip'");
  require(dropout == 0 || !config.objective->masked, "M3AE hides patches itself",
          "setting 'patch_dropout'", "leave it out; the setting 'mae_mask' is M3AE's share");
  const int64_t views = config.objective_options.captioned_views;
  require(views == 1 || views == 2, "a picture has one or two captioned views",
          "setting 'captioned_views'", "give 1 or 2");
  require(views == 1 || !(config.objective->captions || config.objective->masked ||
                          config.objective->entities_only),
          "a second captioned view is for L_CLIP", "setting 'captioned_views'",
          "leave it out, or use the setting 'objective=clip' or the setting 'objective=cloc'");
  require(views == 1 || !config.lock.both_whole(),
          "with both towers frozen there is no L_CLIP for a second captioned view",
          "setting 'captioned_views'", "leave it out");
}

constexpr const char* kEntityFlags = "settings 'entity_classes' and 'entity_weight'";

void check_entities(const TrainConfig& config) {
  const EntityOptions& options = config.entities;
  require(options.weight >= 0 && std::isfinite(options.weight),
          "the weight of a loss is not a number of at least 0", "setting 'entity_weight'",
          "0.5 is usual");
  require(options.negatives >= 1, "no class to tell the pictures' own from",
          "setting 'entity_negatives'", "give 1 or more; 65536 is usual");
  require(options.margin >= 0 && options.margin < 1, "the margin of cosines is not in [0, 1)",
          "setting 'entity_margin'", "0.15 is usual");
  require(options.scale > 0 && std::isfinite(options.scale),
          "the scale of cosines is not a number above 0", "setting 'entity_scale'", "32 is usual");
  const bool only = config.objective->entities_only;
  require(!only || config.learns_entities(), "the objective has no classes to learn", kEntityFlags,
          "give a table of 'opencloc data classes', and a weight above 0");
  require(!only || !config.lock.image || config.lock.image_unlocked_groups > 0,
          "nothing but the classes is left to train", "setting 'lock_image'",
          "leave it out, or unlock a group");
  require(!config.learns_entities() || !config.objective->captions,
          "a captioner is not trained with entities", kEntityFlags, "leave them out");
  require(!config.learns_entities() || !config.objective->masked,
          "M3AE has no embedding of pictures to compare with classes", kEntityFlags,
          "leave them out, or use the setting 'objective=clip'");
  require(config.entity_base.empty() || config.sample.caption_from == CaptionFrom::kEntities,
          "nothing reads the descriptions of entities", "setting 'entities'",
          "add the setting 'caption_from=entities', or leave it out");
  require(config.sample.alt_text == 0 || config.sample.caption_from == CaptionFrom::kCaption,
          "the texts are chosen twice", "settings 'alt_text' and 'caption_from'",
          "leave one of them out");
}

void check_distillation_of(const TrainConfig& config) {
  const DistillationOptions& options = config.distillation;
  constexpr const char* kWeights = "settings 'distill_weight' and 'distill_global_weight'";
  require(options.weight >= 0 && std::isfinite(options.weight) && options.global_weight >= 0 &&
              std::isfinite(options.global_weight),
          "the weight of a loss is not a number of at least 0", kWeights, "0 leaves it out");
  require(options.mask > 0 && options.mask < 1, "the share that is hidden is not between 0 and 1",
          "setting 'distill_mask'", "0.75 is usual: something must be seen, and something told");
  require(options.temperature >= 0.01 && std::isfinite(options.temperature) &&
              options.teacher_temperature >= 0.01 && std::isfinite(options.teacher_temperature),
          "a temperature below 0.01",
          "settings 'distill_temperature' and 'distill_teacher_temperature'",
          "0.1 and 0.07 are usual");
  const auto is_share = [](double value) { return value >= 0 && value <= 1; };
  require(is_share(options.momentum) && is_share(options.momentum_end),
          "the momentum of the teacher is not in [0, 1]",
          "settings 'distill_momentum' and 'distill_momentum_end'", "0.994 and 1 are usual");
  require(options.head.prototypes >= 2 && options.head.hidden >= 1 && options.head.bottleneck >= 1,
          "a head without width, or with less than two prototypes",
          "settings 'distill_dim', 'distill_width' and 'distill_bottleneck'",
          "8192, 2048 and 256 are iBOT's");
  require(!options.on() || !config.lock.image,
          "the image tower, which self-distillation trains, is frozen", kWeights,
          "leave them out, or the setting 'lock_image'");
  require(!options.on() || !config.objective->captions,
          "a captioner is not trained with self-distillation", kWeights, "leave them out");
}

void check_crop_distillation_of(const TrainConfig& config) {
  const CropDistillationOptions& options = config.crop_distillation;
  constexpr const char* kWeight = "setting 'crop_distill_weight'";
  require(options.weight >= 0 && std::isfinite(options.weight),
          "the weight of a loss is not a number of at least 0", kWeight, "0 leaves it out");
  if (!options.on()) return;
  require(config.objective->regions, "no region is embedded that could be drawn to a crop", kWeight,
          "leave it out, or use the setting 'objective=cloc'");
  require(options.boxes >= 1, "no box is cut out", "setting 'crop_distill_boxes'",
          "give 1 or more");
  require(options.size >= 0, "crops have a negative size", "setting 'crop_distill_size'",
          "give a multiple of the model's patch size; 0 is half of the model's size");
  require(options.momentum >= 0 && options.momentum <= 1,
          "the momentum of the teacher is not in [0, 1]", "setting 'crop_distill_momentum'",
          "0.994 is usual");
  require(options.momentum < 1 || !config.init.empty(),
          "a teacher that has learned nothing is frozen", "setting 'crop_distill_momentum'",
          "give a momentum below 1, or the setting 'init' a model directory");
}

// The masked losses know one number of patches.
void check_image_size_schedule_of(const TrainConfig& config) {
  if (!config.image_size_schedule) return;
  const ImageSizeSchedule& schedule = *config.image_size_schedule;
  constexpr const char* kSchedule = "setting 'image_size_schedule'";
  require(schedule.size >= 1, "pictures without pixels", kSchedule,
          "give SIZE:SHARE, such as 48:0.8");
  require(schedule.share > 0 && schedule.share < 1,
          "the share of the samples that are smaller is not between 0 and 1", kSchedule,
          "give SIZE:SHARE, such as 48:0.8");
  const bool masks = config.self_supervision.on() || config.distillation.on() ||
                     config.objective_options.patch_dropout > 0 || config.objective->masked;
  require(!masks, "patches that are hidden or left out, and views, have one size of picture",
          kSchedule, "leave it out, or self-supervision, self-distillation and patch dropout");
}

}  // namespace

int64_t ImageSizeSchedule::early_steps(int64_t steps) const {
  return std::llround(share * static_cast<double>(steps));
}

ImageSizeSchedule parse_image_size_schedule(std::string_view text) {
  ImageSizeSchedule schedule;
  const size_t colon = std::min(text.find(':'), text.size());
  const auto size = text.substr(0, colon);
  const auto share = text.substr(std::min(colon + 1, text.size()));
  const auto whole = [](std::string_view part, auto& value) {
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    return error == std::errc() && end == part.data() + part.size();
  };
  if (!whole(size, schedule.size) || !whole(share, schedule.share)) {
    throw Error::input("not a size and a share: '" + std::string(text) + "'",
                       "setting 'image_size_schedule'", "give SIZE:SHARE, such as 48:0.8");
  }
  return schedule;
}

void RunConfig::check() const {
  require(!data.empty(), "no data is named", "setting 'data'", "name shards, e.g. 'shards/*.tar'");
  require(!out.empty(), "no run directory is named", "setting 'out'", "name a folder");
  require(batch_size >= 1, "a batch holds no sample", "setting 'batch_size'", "give 1 or more");
  require(accum_freq >= 1 && accum_freq <= batch_size,
          "the number of parts is not between 1 and the batch size", "setting 'accum_freq'",
          "the batch is passed through the model in that many parts");
  check_length(*this);
  require(lr > 0 && std::isfinite(lr), "the learning rate is not a number above 0", "setting 'lr'",
          "give a number such as 5e-4");
  require(adamw.beta1 >= 0 && adamw.beta1 < 1, "AdamW's beta1 is not in [0, 1)", "setting 'beta1'",
          "0.9 is usual");
  require(adamw.beta2 >= 0 && adamw.beta2 < 1, "AdamW's beta2 is not in [0, 1)", "setting 'beta2'",
          "0.98 is usual");
  require(adamw.weight_decay >= 0, "the weight decay is negative", "setting 'wd'", "0.2 is usual");
  require(keep_checkpoints >= 0, "a negative number of checkpoints", "setting 'keep_checkpoints'",
          "0 keeps all");
  require(log_every >= 1, "less than one step between lines of the log", "setting 'log_every'",
          "give 1 or more");
  require(resume == "none" || !overwrite, "a run cannot be both continued and replaced",
          "setting 'overwrite'", "add the setting 'resume=none', or leave it out");
  sample.validate();
}

void RunConfig::complete(uint64_t data_samples) {
  if (epochs > 0) samples = std::llround(epochs * static_cast<double>(data_samples));
  if (samples > 0) steps = (samples + batch_size - 1) / batch_size;
  steps = std::max<int64_t>(1, steps);
  if (warmup < 0) warmup = std::min<int64_t>(2000, steps / 10);
  if (save_every <= 0) save_every = std::max<int64_t>(1, steps / 10);
  if (workers <= 0) workers = std::min(16, available_cpus());
}

void TrainConfig::check() const {
  RunConfig::check();
  check_locks(*this);
  check_objective_options(*this);
  check_self_supervision_of(*this);
  check_entities(*this);
  check_distillation_of(*this);
  check_crop_distillation_of(*this);
  check_image_size_schedule_of(*this);
  require(!image_size || *image_size >= 1, "pictures without pixels", "setting 'image_size'",
          "give a multiple of the model's patch size");
}

void TrainConfig::read_entities() {
  if (entity_classes.empty() && sample.caption_from != CaptionFrom::kEntities) return;
  sample.entities = std::make_shared<EntityLabels>(entity_classes, entity_base);
}

void TrainConfig::complete(uint64_t data_samples) {
  RunConfig::complete(data_samples);
  distillation.steps = steps;
  if (!objective->regions) sample.regions_per_image = 0;
  if (objective_options.hard_negative_weight == 0) sample.hard_negatives = 0;
  self_supervision.joint = objective->masked;
  sample.captioned_view = objective_options.captioned_views == 2;
  sample.box_crops = crop_distillation.on() ? crop_distillation.boxes : 0;
  objective_options.crop_weight = crop_distillation.weight;
  sample.pictures_alone =
      (objective->masked && self_supervision.mae_weight > 0) || crop_distillation.on();
  sample.rated_boxes = objective_options.quality_weight > 0 ? kRatedBoxes : 0;
  entities.warmup = warmup;
  entities.seed = seed;
  // Without another loss the texts are not read.
  const bool only = objective->entities_only;
  const bool alone = only && !self_supervision.on() && !distillation.on();
  if (only && self_supervision.mlm_weight == 0) lock.text = true;
  sample.entity_loss = !learns_entities() ? EntityLossUse::kNone
                       : alone            ? EntityLossUse::kOnly
                                          : EntityLossUse::kBeside;
  objective_options.mask_equal_texts =
      mask_equal_texts.value_or(sample.caption_from == CaptionFrom::kEntities);
  objective_options.clip = !only && !objective->masked && !lock.both_whole() &&
                           !(objective->captions && objective_options.contrastive_weight == 0);
}

std::vector<double> parse_weights(std::string_view text, std::string_view setting) {
  std::vector<double> weights;
  while (true) {
    const size_t at = text.find("::");
    const auto part = text.substr(0, at);
    double value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc() || end != part.data() + part.size() || !(value > 0)) {
      throw Error::input("'" + std::string(part) + "' is not a weight", setting,
                         "give one number above 0 a source, e.g. 1::2");
    }
    weights.push_back(value);
    if (at == std::string_view::npos) return weights;
    text.remove_prefix(at + 2);
  }
}

std::vector<double> source_weights(const RunConfig& config, const std::vector<uint64_t>& sizes) {
  if (!config.data_weights.empty())
    return parse_weights(config.data_weights, "setting 'data_weights'");
  if (config.data_upsampling.empty()) return {};
  auto weights = parse_weights(config.data_upsampling, "setting 'train_data_upsampling_factors'");
  for (size_t i = 0; i < weights.size() && i < sizes.size(); ++i) {
    weights[i] *= static_cast<double>(sizes[i]);
  }
  return weights;  // a wrong number of them is the Sampler's error
}

}  // namespace opencloc

#include "opencloc/cli/train_flags.h"

#include <algorithm>
#include <charconv>
#include <sstream>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"

namespace opencloc::cli {
namespace {

const CLI::IsMember kOnOff({"on", "off"});

void add_data_flags(CLI::App& app, TrainFlags& flags) {
  auto& config = flags.config;
  auto& sample = config.sample;
  const char* group = "Data";
  add_source_flags(app, config);
  app.add_option("--regions-per-image", sample.regions_per_image,
                 "M: regions sampled from an image, at most")
      ->capture_default_str()
      ->group(group);
  app.add_option("--region-score", flags.region_score,
                 "what the data's scores of regions are for: off, weight (how much a region's "
                 "losses count) or sample (how likely it is among the M)")
      ->check(CLI::IsMember({"off", "weight", "sample"}))
      ->capture_default_str()
      ->group(group);
  sample.hard_negatives = 3;
  app.add_option("--hard-negatives", sample.hard_negatives,
                 "wrong texts of a region (its \"negatives\" in the data) that are drawn, at most; "
                 "with --hard-negative-weight")
      ->check(not_negative())
      ->capture_default_str()
      ->group(group);
  app.add_option("--augment", flags.augment, "random resized crop: on or off")
      ->check(kOnOff)
      ->capture_default_str()
      ->group(group);
  app.add_flag(
         "--jpeg-draft", sample.jpeg_draft,
         "decode large JPEGs at 1/2, 1/4 or 1/8: faster, not exact (docs/reference/images.md)")
      ->group(group);
  app.add_option("--crop-scale", sample.crop.scale_min, "smallest share of the area a crop keeps")
      ->check(CLI::Range(0.01, 1.0))
      ->capture_default_str()
      ->group(group);
  app.add_option("--flip", flags.flip,
                 "share of pictures mirrored; never where a text says left or right")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str()
      ->group(group);
  app.add_option("--mosaic", sample.mosaic, "share of samples made of several pictures")
      ->capture_default_str()
      ->group(group);
  app.add_option("--mosaic-grid", sample.mosaic_grid, "pictures along a mosaic's side")
      ->capture_default_str()
      ->group(group);
  app.add_option("--alt-text", sample.alt_text,
                 "share of captioned samples that take their alt-text instead")
      ->capture_default_str()
      ->group(group);
  app.add_option("--caption-from", flags.caption_from,
                 "the text of a picture: caption (else its alt-text), alt_text, or entities: the "
                 "name of one of its entities")
      ->check(CLI::IsMember({"caption", "alt_text", "entities"}))
      ->capture_default_str()
      ->group(group);
  app.add_option("--entities", config.entity_base,
                 "base of entities (data entities): texts from entities are \"name: description\" "
                 "half of the time")
      ->type_name("DIR")
      ->group(group);
  app.add_option("--phrase", sample.phrase,
                 "share of regions that take their longer 'phrase' where they have one")
      ->capture_default_str()
      ->group(group);
  app.add_option("--point-prompts", sample.point_prompts, "share of regions prompted by a point")
      ->capture_default_str()
      ->group(group);
  app.add_option("--mask-prompts", sample.mask_prompts, "share of regions prompted by a mask")
      ->capture_default_str()
      ->group(group);
  app.add_option("--box-jitter", sample.box_jitter,
                 "experiments: noise on boxes, standard deviation as a share of the side")
      ->capture_default_str()
      ->group(group);
  app.add_option("--label-noise", sample.label_noise,
                 "experiments: share of regions with a text from elsewhere")
      ->capture_default_str()
      ->group(group);
}

void add_model_flags(CLI::App& app, TrainFlags& flags) {
  auto& config = flags.config;
  const char* group = "Model";
  app.add_option("--model", config.model, "name (ViT-B-16, ...) or JSON file")
      ->capture_default_str()
      ->group(group);
  app.add_option("--init", config.init, "model directory to start from instead")->group(group);
  app.add_option("--architecture", config.init_architecture,
                 "of an --init that comes without configuration: a name or a JSON file")
      ->group(group);
  app.add_option("--tokenizer", config.tokenizer,
                 "tokenizer file or folder; without it one is built from the captions")
      ->group(group);
  app.add_option("--vocab-size", config.vocab_size, "of a tokenizer that is built, at most")
      ->check(CLI::Range(300, 1'000'000))
      ->capture_default_str()
      ->group(group);
  app.add_option("--context-length", flags.context_length, "tokens of a text, at most")
      ->check(CLI::Range(2, 4096))
      ->group(group);
  app.add_option("--region-extractor", flags.region_extractor, "prompter or roi_align")
      ->check(CLI::IsMember({"prompter", "roi_align"}))
      ->group(group);
  app.add_option("--pool", flags.pool, "what the Prompter averages: all or prompt tokens")
      ->check(CLI::IsMember({"all", "prompt"}))
      ->group(group);
  app.add_option("--joint-box-token", flags.joint_box_token, "a third box token: on or off")
      ->check(kOnOff)
      ->group(group);
  app.add_option("--box-encoding", flags.box_encoding,
                 "what that token is: centre (with a map of both corners) or integrated (the mean "
                 "of the encodings of all places of the box, as wide as the box)")
      ->check(CLI::IsMember({"centre", "integrated"}))
      ->group(group);
  app.add_option("--prompter-layers", flags.prompter_layers,
                 "what the Prompter reads: last, or several: a learned sum of the last, the "
                 "second-to-last and the middle layer")
      ->check(CLI::IsMember({"last", "several"}))
      ->group(group);
  app.add_option("--position-image-tokens", flags.position_image_tokens,
                 "image tokens carry their place into the Prompter: on or off")
      ->check(kOnOff)
      ->group(group);
  app.add_option("--region-logit-scale-init", flags.region_logit_scale,
                 "inverse temperature that L_CLOC begins with; 1 / 0.07 = 14.3 without it")
      ->check(CLI::Range(0.1, 100.0))
      ->group(group);
  app.add_option("--image-size", flags.image_size,
                 "pixels along a picture's side, in place of the model's (positions of an --init "
                 "are interpolated)")
      ->check(positive())
      ->group(group);
  app.add_option("--image-size-schedule", flags.image_size_schedule,
                 "SIZE:SHARE: the first share of the samples are smaller pictures, the rest are of "
                 "the model's size: 48:0.8 (CLIPA)")
      ->group(group);
  app.add_option("--image-resize-mode", flags.resize_mode, "longest, shortest or squash")
      ->check(CLI::IsMember({"longest", "shortest", "squash"}))
      ->group(group);
  app.add_flag("--lock-image", config.lock.image, "with --init: freeze the image tower")
      ->group(group);
  app.add_option("--lock-image-unlocked-groups", config.lock.image_unlocked_groups,
                 "layer groups at its end that stay trainable: projection, last block, ...")
      ->check(not_negative())
      ->capture_default_str()
      ->group(group);
  app.add_flag("--lock-text", config.lock.text, "with --init: freeze the text tower")->group(group);
  app.add_option("--lock-text-unlocked-layers", config.lock.text_unlocked_groups,
                 "layer groups at its end that stay trainable")
      ->check(not_negative())
      ->capture_default_str()
      ->group(group);
}

std::vector<std::string> objective_names() {
  std::vector<std::string> names;
  for (const auto& row : objectives()) names.emplace_back(row.name);
  return names;
}

void add_objective_flags(CLI::App& app, TrainFlags& flags) {
  const char* group = "Objective";
  app.add_option("--objective", flags.objective,
                 "clip, cloc, entities (--entity-classes only), coca: a captioner (--model "
                 "coca-XXS-16-96, coca_ViT-B-32), or m3ae: the image tower only, by hidden patches "
                 "and words that are restored")
      ->check(CLI::IsMember(objective_names()))
      ->capture_default_str()
      ->group(group);
  app.add_flag("--siglip", flags.config.siglip,
               "L_CLIP is SigLIP's sigmoid loss (models with a logit_bias always have it)")
      ->group(group);
  app.add_option("--coca-contrastive-loss-weight",
                 flags.config.objective_options.contrastive_weight,
                 "of L_CLIP in a captioner's loss")
      ->check(not_negative())
      ->capture_default_str()
      ->group(group);
  app.add_option("--coca-caption-loss-weight", flags.config.objective_options.caption_weight,
                 "of L_caption in a captioner's loss")
      ->check(not_negative())
      ->capture_default_str()
      ->group(group);
  app.add_option(
         "--text-filter", flags.text_filter,
         "region texts with a higher cosine are no negatives of each other; off: only equal "
         "texts are none; none: not even these")
      ->capture_default_str()
      ->group(group);
  app.add_option("--text-filter-opens", flags.config.objective_options.filter.open_below,
                 "the filter opens once it would remove a smaller share of distinct texts")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str()
      ->group(group);
  app.add_option("--text-contrast-weight", flags.config.objective_options.text_contrast_weight,
                 "of the repulsion of a batch's distinct region texts beside L_CLOC; 0 = none")
      ->check(not_negative())
      ->capture_default_str()
      ->group(group);
  app.add_option("--text-contrast-threshold",
                 flags.config.objective_options.text_contrast_threshold,
                 "texts with a higher cosine are left to lie together; 1 = none is")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str()
      ->group(group);
  app.add_option("--grounding", flags.grounding, "L_grounding: on or off")
      ->check(kOnOff)
      ->capture_default_str()
      ->group(group);
  app.add_option("--grounding-loss", flags.grounding_loss, "l2 (the paper's) or l1_giou")
      ->check(CLI::IsMember({"l2", "l1_giou"}))
      ->capture_default_str()
      ->group(group);
  app.add_option("--text-lr-scale", flags.config.adamw.text_lr_scale,
                 "learning rate of the text tower beside the rest")
      ->check(positive())
      ->capture_default_str()
      ->group(group);
  app.add_option("--grounding-weight", flags.config.objective_options.grounding_weight,
                 "of L_grounding beside L_CLOC; the paper's l2 has 1")
      ->check(not_negative())
      ->capture_default_str()
      ->group(group);
  app.add_option("--box-recovery", flags.box_recovery,
                 "the BoxHead also reads a region's box back from its embedding: on or off")
      ->check(kOnOff)
      ->capture_default_str()
      ->group(group);
  app.add_option("--hard-negative-weight", flags.config.objective_options.hard_negative_weight,
                 "of regions against wrong texts of their own, beside L_CLOC, at a temperature of "
                 "its own; 0 = none")
      ->check(not_negative())
      ->capture_default_str()
      ->group(group);
  app.add_option("--attention-weight", flags.config.objective_options.attention_weight,
                 "of -log of the attention of text prompts inside their boxes, beside L_CLOC; 0 = "
                 "none")
      ->check(not_negative())
      ->capture_default_str()
      ->group(group);
  app.add_option("--quality-weight", flags.config.objective_options.quality_weight,
                 "of L_quality beside L_CLOC: a head learns how well a box holds one object, which "
                 "'search' uses; 0 = no such head")
      ->check(not_negative())
      ->capture_default_str()
      ->group(group);
  app.add_option("--quality-gradient", flags.quality_gradient,
                 "how far its gradient goes back: head, prompter, or all (the image tower, too)")
      ->check(CLI::IsMember({"head", "prompter", "all"}))
      ->capture_default_str()
      ->group(group);
}

void add_entity_flags(CLI::App& app, TrainFlags& flags) {
  auto& options = flags.config.entities;
  const char* group = "Entities, beside the objective or as the only one (--objective entities)";
  app.add_option("--entity-classes", flags.config.entity_classes,
                 "table of 'data classes': pictures learn which class they show (MOFI)")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--entity-weight", options.weight, "of L_entity")
      ->check(not_negative())
      ->capture_default_str()
      ->group(group);
  app.add_option("--entity-negatives", options.negatives,
                 "classes drawn anew for each step, beside those of its pictures; all where there "
                 "are fewer")
      ->capture_default_str()
      ->group(group);
  app.add_option("--entity-margin", options.margin,
                 "the own class's cosine must be so much higher; grows from 0 over the warm-up")
      ->capture_default_str()
      ->group(group);
  app.add_option("--entity-scale", options.scale, "of the cosines in the softmax")
      ->capture_default_str()
      ->group(group);
  app.add_option("--equal-texts", flags.equal_texts,
                 "pictures with equal texts in a batch: mask (no negatives of each other) or keep; "
                 "mask where texts are entities, else keep")
      ->check(CLI::IsMember({"mask", "keep"}))
      ->group(group);
}

void add_self_supervision_flags(CLI::App& app, TrainFlags& flags) {
  auto& options = flags.config.self_supervision;
  const char* group = "Self-supervision, beside the objective";
  app.add_option("--mae-weight", flags.mae_weight,
                 "of the hidden patches that are restored (MAE); 0 = off, as without it; with "
                 "--objective m3ae 1")
      ->check(not_negative())
      ->group(group);
  app.add_option("--mae-mask", options.mae_mask, "share of the patches that are hidden")
      ->capture_default_str()
      ->group(group);
  app.add_option("--mae-decoder", flags.mae_decoder, "what restores them, LAYERSxWIDTH")
      ->capture_default_str()
      ->group(group);
  app.add_option("--mae-normalize", flags.mae_normalize,
                 "patches are compared with mean 0 and deviation 1: on, as without it, or off, as "
                 "with --objective m3ae")
      ->check(kOnOff)
      ->group(group);
  app.add_option("--mlm-weight", flags.mlm_weight,
                 "of the hidden words that are restored; 0 = off, as without it; with --objective "
                 "m3ae 0.5")
      ->check(not_negative())
      ->group(group);
  app.add_option("--mlm-mask", options.mlm_mask, "share of a text's words that are hidden")
      ->capture_default_str()
      ->group(group);
  app.add_option("--mlm-sees", flags.mlm_sees,
                 "what words are restored from, beside the seen ones: image or text (nothing else)")
      ->check(CLI::IsMember({"image", "text"}))
      ->capture_default_str()
      ->group(group);
  app.add_option("--simclr-weight", options.simclr_weight,
                 "of two other views of each picture that must find one another (SLIP); 0 = off")
      ->check(not_negative())
      ->capture_default_str()
      ->group(group);
  app.add_option("--simclr-temperature", options.simclr_temperature,
                 "what the cosines of views are divided by")
      ->capture_default_str()
      ->group(group);
  app.add_option("--simclr-width", options.simclr.hidden, "of the head's hidden layers")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str()
      ->group(group);
  app.add_option("--simclr-dim", options.simclr.out, "of the head's embeddings")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str()
      ->group(group);
  app.add_option("--patch-dropout", flags.config.objective_options.patch_dropout,
                 "share of the patches that CLIP's pass leaves out (FLIP); with --objective clip")
      ->capture_default_str()
      ->group(group);
  app.add_option("--captioned-views", flags.config.objective_options.captioned_views,
                 "2: another crop of each picture (--crop-scale) goes through L_CLIP with the same "
                 "text, a control for SLIP")
      ->check(CLI::Range(1, 2))
      ->capture_default_str()
      ->group(group);
}

double parse_threshold(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw Error::input("not a cosine: '" + text + "'", "--text-filter", "give 0.9, off or none");
  }
  return value;
}

std::optional<bool> on_off(const std::string& word) {
  return word.empty() ? std::nullopt : std::optional(word == "on");
}

void apply_model_words(const TrainFlags& flags, TrainConfig& config) {
  if (!flags.region_extractor.empty()) {
    config.region_extractor = flags.region_extractor == "prompter" ? RegionExtractor::kPrompter
                                                                   : RegionExtractor::kRoiAlign;
  }
  if (!flags.pool.empty()) config.pool = flags.pool == "all" ? Pool::kAll : Pool::kPrompt;
  config.joint_box_token = on_off(flags.joint_box_token);
  if (!flags.box_encoding.empty()) {
    config.box_encoding =
        flags.box_encoding == "centre" ? BoxEncoding::kCentre : BoxEncoding::kIntegrated;
  }
  if (!flags.prompter_layers.empty()) config.several_layers = flags.prompter_layers == "several";
  config.position_image_tokens = on_off(flags.position_image_tokens);
  if (!flags.resize_mode.empty()) {
    config.resize_mode = flags.resize_mode == "longest"    ? CanvasRule::kLongest
                         : flags.resize_mode == "shortest" ? CanvasRule::kShortest
                                                           : CanvasRule::kSquash;
  }
  config.region_logit_scale = flags.region_logit_scale;
  if (flags.image_size > 0) config.image_size = flags.image_size;
  if (!flags.image_size_schedule.empty())
    config.image_size_schedule = parse_image_size_schedule(flags.image_size_schedule);
  if (flags.context_length > 0) config.context_length = flags.context_length;
}

// What --val asks for, as a run calls it.
auto evaluation(const TrainFlags& flags, const TrainConfig& config) {
  EvalOptions options = flags.eval;
  options.max_samples = flags.eval_samples;
  options.workers = thread_count(flags.common);
  options.region_heads = config.objective->regions;
  options.skip_bad_shards = config.skip_bad_shards;
  options.progress = false;
  if (!flags.eval_tasks.empty()) options.tasks.clear();
  std::istringstream names(flags.eval_tasks);
  for (std::string name; std::getline(names, name, ',');) options.tasks.push_back(parse_task(name));
  if (std::ranges::count(options.tasks, Task::kLinearProbe) > 0) {
    throw Error::input("a linear probe is not for the evaluation during training", "--eval-tasks",
                       "run it afterwards: opencloc eval --tasks linear_probe --train-data GLOB");
  }
  return [options, data = config.val](Cloc& model, const Tokenizer& tokenizer, int64_t step,
                                      dist::Group& group) mutable {
    options.group = &group;
    Json results = evaluate(model, tokenizer, data, options);
    log::info("after step {}:\n{}", step, results_table(results));
    return results;
  };
}

}  // namespace

void add_train_flags(CLI::App& app, TrainFlags& flags) {
  add_data_flags(app, flags);
  add_model_flags(app, flags);
  add_objective_flags(app, flags);
  add_entity_flags(app, flags);
  add_self_supervision_flags(app, flags);
  add_distillation_flags(app, flags);
  add_optimisation_flags(app, flags, flags.config);
  add_folder_flags(app, flags, flags.config);
  add_exchange_flags(app, flags, flags.config);
}

TrainConfig train_config(const TrainFlags& flags, int local_rank) {
  TrainConfig config = flags.config;
  apply_run_flags(flags, local_rank, config);
  config.objective = find_objective(flags.objective);
  auto& objective = config.objective_options;
  objective.grounding = flags.grounding == "on";
  objective.box_recovery = flags.box_recovery == "on";
  objective.grounding_kind =
      flags.grounding_loss == "l2" ? GroundingKind::kL2 : GroundingKind::kL1Giou;
  objective.quality_reach = flags.quality_gradient == "head"       ? QualityReach::kHead
                            : flags.quality_gradient == "prompter" ? QualityReach::kPrompter
                                                                   : QualityReach::kAll;
  objective.filter.identical = flags.text_filter != "none";
  objective.filter.on = flags.text_filter != "off" && objective.filter.identical;
  if (objective.filter.on) objective.filter.threshold = parse_threshold(flags.text_filter);
  auto& self = config.self_supervision;
  const bool m3ae = config.objective->masked;
  self.mae_weight = flags.mae_weight.value_or(m3ae ? kM3aeImageWeight : 0);
  self.mlm_weight = flags.mlm_weight.value_or(m3ae ? kM3aeTextWeight : 0);
  self.mae_normalize = flags.mae_normalize.empty() ? !m3ae : flags.mae_normalize == "on";
  self.mlm_sees = flags.mlm_sees == "image" ? WordContext::kImage : WordContext::kText;
  const auto [layers, width] = layers_by_width(flags.mae_decoder, "--mae-decoder");
  self.decoder.layers = layers;
  self.decoder.width = width;
  config.sample.caption_from = flags.caption_from == "caption"    ? CaptionFrom::kCaption
                               : flags.caption_from == "alt_text" ? CaptionFrom::kAltText
                                                                  : CaptionFrom::kEntities;
  if (!flags.equal_texts.empty()) config.mask_equal_texts = flags.equal_texts == "mask";
  config.distillation.places =
      flags.distill_places == "all" ? ScoredPlaces::kAll : ScoredPlaces::kHidden;
  config.sample.region_score = flags.region_score == "weight"   ? RegionScore::kWeight
                               : flags.region_score == "sample" ? RegionScore::kSample
                                                                : RegionScore::kOff;
  config.sample.augment = flags.augment == "on";
  config.sample.crop.flip_probability = flags.flip;
  apply_model_words(flags, config);
  if (!config.val.empty()) config.evaluate = evaluation(flags, config);
  return config;
}

}  // namespace opencloc::cli

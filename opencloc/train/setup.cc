#include "opencloc/train/setup.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <filesystem>

#include <spdlog/fmt/fmt.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"
#include "opencloc/base/random_streams.h"
#include "opencloc/base/rng.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/model/clip/resize.h"
#include "opencloc/model/quantized.h"
#include "opencloc/text/sentence_piece.h"
#include "opencloc/train/prompter_start.h"

namespace opencloc {
namespace {

constexpr uint64_t kTokenizerSamples = 50'000;  // records read; more adds time, not better pieces

// Captions and region texts of up to kTokenizerSamples random records, one a call.
class TextsOfRecords {
 public:
  TextsOfRecords(const SampleStore& store, const TrainConfig& config)
      : store_(store), sample_(config.sample), rng_(config.seed, {random_stream::kTokenizer}) {
    for (int source = 0; source < store.sources(); ++source) {
      for (uint64_t i = 0; i < store.size(source); ++i) places_.emplace_back(source, i);
    }
    rng_.shuffle(places_);
    if (places_.size() > kTokenizerSamples) places_.resize(kTokenizerSamples);
  }

  std::optional<std::string> next() {
    while (texts_.empty() && at_ < places_.size()) read(places_[at_++]);
    if (texts_.empty()) return std::nullopt;
    std::string text = std::move(texts_.front());
    texts_.pop_front();
    return text;
  }

 private:
  void read(const std::pair<int, uint64_t>& place) {
    try {
      Record record = store_.read(place.first, place.second);
      for (auto& text : possible_texts(record, sample_)) texts_.push_back(std::move(text));
      for (auto& region : record.regions) texts_.push_back(std::move(region.text));
      std::erase(texts_, "");
    } catch (const BadSample&) {
      return;  // counted and named when training draws it
    }
  }

  const SampleStore& store_;
  const SampleOptions& sample_;
  Rng rng_;
  std::vector<std::pair<int, uint64_t>> places_;
  size_t at_ = 0;
  std::deque<std::string> texts_;
};

// Captioners learn by captions, and by nothing else.
void check_objective(const TrainConfig& config, const ModelConfig& model) {
  const bool writes = model.multimodal.has_value();
  if (config.objective->captions == writes) return;
  throw Error::input(writes ? "the model is a captioner, whose decoder would learn nothing"
                            : "the model has no text decoder",
                     std::string("setting 'objective=") + config.objective->name + "'",
                     writes ? "use the setting 'objective=coca'"
                            : "name a captioner: setting 'model=coca-XXS-16-96'");
}

// A captioner begins its texts with a start token, and must know its padding from its end.
void check_start_token(const TrainConfig& config, const Tokenizer& tokenizer) {
  if (!config.objective->captions) return;
  if (tokenizer.start_id() && tokenizer.pad_id() == kPadId && tokenizer.end_id() != kPadId) return;
  throw Error::input("the tokenizer has no start token, or another padding than id 0",
                     config.tokenizer.empty() ? "setting 'init'" : config.tokenizer,
                     "use CLIP's, or leave the setting 'tokenizer' out to have one built");
}

std::shared_ptr<const Tokenizer> build_tokenizer(const TrainConfig& config,
                                                 const SampleStore& store) {
  const auto path = config.out / "tokenizer.model";
  log::info("building a tokenizer from the texts of up to {} samples", kTokenizerSamples);
  TextsOfRecords texts(store, config);
  SentencePieceTraining training;
  training.start_token = config.objective->captions;
  training.vocab_size = static_cast<int>(config.vocab_size);
  train_sentencepiece([&] { return texts.next(); }, training, path);
  auto tokenizer = load_tokenizer(path);
  log::info("tokenizer with {} pieces: {}", tokenizer->vocab_size(), path.string());
  return tokenizer;
}

using WeightsByName = std::vector<std::pair<std::string, torch::Tensor>>;

void check_whole_patches(int64_t image_size, const ModelConfig& model, const char* setting) {
  const int64_t patch = model.vision.patch_size;
  if (image_size % patch == 0) return;
  throw Error::input(fmt::format("image size {} is no multiple of {}", image_size, patch), setting,
                     "give a multiple of the model's patch size");
}

// The flags' wishes over the configuration of a new model.
void apply_flags(const TrainConfig& flags, ModelConfig& config) {
  if (flags.region_extractor) config.cloc.region_extractor = *flags.region_extractor;
  if (flags.pool) config.cloc.pool = *flags.pool;
  if (flags.joint_box_token) config.cloc.joint_box_token = *flags.joint_box_token;
  if (flags.box_encoding) config.cloc.box_encoding = *flags.box_encoding;
  if (flags.several_layers) config.cloc.several_layers = *flags.several_layers;
  if (flags.position_image_tokens) config.cloc.position_image_tokens = *flags.position_image_tokens;
  if (flags.resize_mode) config.preprocess.resize_mode = *flags.resize_mode;
  if (flags.context_length) config.text.context_length = *flags.context_length;
  if (flags.image_size) config.vision.image_size = *flags.image_size;
  config.cloc.quality_head = flags.objective_options.quality_weight > 0;
  config.cloc.hard_negatives = flags.objective_options.hard_negative_weight > 0;
}

// Of a new region part.
void start_region_scale(const TrainConfig& flags, Cloc& model) {
  if (!flags.region_logit_scale || !model->region_logit_scale.defined()) return;
  const torch::NoGradGuard no_grad;
  model->region_logit_scale.fill_(std::log(*flags.region_logit_scale));
}

void copy_weights(const WeightsByName& from, const WeightsByName& to) {
  const torch::NoGradGuard no_grad;
  for (size_t i = 0; i < from.size(); ++i) to[i].second.copy_(from[i].second);
}

// The region part of a plain CLIP is new, and of the shape the flags ask for.
Cloc with_new_region_part(const TrainConfig& flags, const Cloc& clip) {
  ModelConfig config = clip->config();
  apply_flags(flags, config);
  config.cloc.encoding_grid = 0;  // that of the size that it is trained at
  config.region_part = flags.objective->regions;
  config.validate(flags.init);
  torch::manual_seed(flags.seed);
  Cloc model(config);
  copy_weights(clip->clip_weights(), model->clip_weights());
  start_region_scale(flags, model);
  return model;
}

// A CLOC model with the parts that the run's losses want and it does not have: the quality head,
// drawn from the seed, and the temperature of hard negatives.
Cloc with_new_parts(const TrainConfig& flags, const Cloc& cloc) {
  ModelConfig config = cloc->config();
  config.cloc.quality_head |= flags.objective_options.quality_weight > 0;
  config.cloc.hard_negatives |= flags.objective_options.hard_negative_weight > 0;
  torch::manual_seed(flags.seed);
  Cloc model(config);
  copy_weights(cloc->clip_weights(), model->clip_weights());
  const torch::NoGradGuard no_grad;
  auto parameters = model->named_parameters();
  for (const auto& [name, weight] : cloc->region_weights()) parameters[name].copy_(weight);
  return model;
}

void check_quality_head(const TrainConfig& config, const Cloc& model) {
  const bool wanted = config.objective_options.quality_weight > 0;
  if (wanted && !model->quality_head) {
    throw Error::input("the run began without a quality head", "setting 'quality_weight'",
                       "leave it out, or give a new run the setting 'init' with this run's model");
  }
  if (!wanted && model->quality_head && config.objective->regions) {
    log::warn(
        "the quality head learns nothing while the rest of the model changes; give the setting "
        "'quality_weight'");
  }
}

// Of what the run has by now: a checkpoint's model, or the one it begins with.
void check_region_losses(const TrainConfig& config, const Cloc& model) {
  const ObjectiveOptions& options = config.objective_options;
  if (options.hard_negative_weight > 0 && !model->hard_negative_logit_scale.defined()) {
    throw Error::input("the run began without hard negatives", "setting 'hard_negative_weight'",
                       "leave it out, or give a new run the setting 'init' with this run's model");
  }
  if (options.attention_weight > 0 && model->config().cloc.pool == Pool::kAll) {
    throw Error::input("the attention of text prompts is trained with pool prompt alone",
                       "setting 'attention_weight'", "leave it out");
  }
}

void check_image_size_schedule(const TrainConfig& config, const ModelConfig& model) {
  if (!config.image_size_schedule) return;
  constexpr const char* kSchedule = "setting 'image_size_schedule'";
  const int64_t size = config.image_size_schedule->size;
  check_whole_patches(size, model, kSchedule);
  if (size < model.vision.image_size) return;
  throw Error::input(
      fmt::format("{} px are not fewer than the model's {}", size, model.vision.image_size),
      kSchedule, "give a smaller size");
}

TrainedParts from_directory(const std::filesystem::path& directory) {
  LoadedModel loaded = load_model(directory);
  return {loaded.model, loaded.tokenizer};
}

TrainedParts initial_model(const TrainConfig& config, const SampleStore& store) {
  LoadedModel loaded = load_model(config.init, {config.init_architecture});
  if (is_quantized(loaded.model)) {
    throw Error::input("8-bit weights cannot be trained", config.init,
                       "start from the model it was quantised from");
  }
  if (loaded.vision_only) {
    throw Error::input("the model has an image tower alone", config.init,
                       "start from the model it was taken from");
  }
  const bool region_flags = config.region_extractor || config.pool || config.joint_box_token ||
                            config.box_encoding || config.several_layers ||
                            config.position_image_tokens || config.region_logit_scale ||
                            config.resize_mode;
  if (config.context_length || (region_flags && loaded.has_region_heads)) {
    throw Error::input(
        "the model's shape is fixed by the model directory", "setting 'init'",
        "leave the setting 'context_length' out, and, where it has a Prompter, also "
        "the settings 'region_extractor', 'pool', 'joint_box_token', "
        "'box_encoding', 'prompter_layers', "
        "'position_image_tokens', 'region_logit_scale_init' and 'image_resize_mode'");
  }
  if (config.siglip && !loaded.model->logit_bias.defined()) {
    throw Error::input("the model has no logit_bias", "setting 'siglip'",
                       "leave it out: the model directory says which loss trains it");
  }
  if (config.image_size) loaded.model = with_image_size(loaded.model, *config.image_size);
  if (!loaded.has_region_heads) {
    loaded.model = with_new_region_part(config, loaded.model);
    if (config.objective->regions) start_from_tokens(loaded.model, store, config.seed);
  } else if ((config.objective_options.quality_weight > 0 && !loaded.model->quality_head) ||
             (config.objective_options.hard_negative_weight > 0 &&
              !loaded.model->hard_negative_logit_scale.defined())) {
    loaded.model = with_new_parts(config, loaded.model);
  }
  TrainedParts parts{loaded.model, loaded.tokenizer};
  if (!config.tokenizer.empty()) {
    parts.tokenizer = load_tokenizer(config.tokenizer);
    check_tokenizer(parts.model->config().text, *parts.tokenizer, config.tokenizer);
  }
  if (!parts.tokenizer) {
    throw Error::input("the model directory has no tokenizer", config.init,
                       "give the setting 'tokenizer'");
  }
  return parts;
}

TrainedParts new_model(const TrainConfig& config, const SampleStore& store) {
  ModelConfig model = load_model_config(config.model);
  check_objective(config, model);
  TrainedParts parts;
  parts.tokenizer =
      config.tokenizer.empty() ? build_tokenizer(config, store) : load_tokenizer(config.tokenizer);
  apply_flags(config, model);
  check_whole_patches(model.vision.image_size, model, "setting 'image_size'");
  model.region_part = config.objective->regions;
  model.text.vocab_size = parts.tokenizer->vocab_size();
  // The highest id needs no eos_id: the file stays as OpenAI's models are.
  const int64_t end = parts.tokenizer->end_id();
  const bool named = model.text.pool == TextPool::kEnd && end != model.text.vocab_size - 1;
  model.text.eos_id = named ? end : -1;
  if (config.siglip) {
    model.init_logit_scale = std::log(10.0);
    model.init_logit_bias = -10;
  }
  model.validate(config.model);
  torch::manual_seed(config.seed);
  parts.model = Cloc(model);
  start_region_scale(config, parts.model);
  return parts;
}

}  // namespace

TrainedParts set_up(const TrainConfig& config, const SampleStore& store,
                    const std::optional<Checkpoint>& checkpoint) {
  torch::manual_seed(config.seed);
  TrainedParts parts = checkpoint            ? from_directory(checkpoint->path / "model")
                       : config.init.empty() ? new_model(config, store)
                                             : initial_model(config, store);
  check_objective(config, parts.model->config());
  check_quality_head(config, parts.model);
  check_region_losses(config, parts.model);
  check_image_size_schedule(config, parts.model->config());
  check_start_token(config, *parts.tokenizer);
  return parts;
}

}  // namespace opencloc

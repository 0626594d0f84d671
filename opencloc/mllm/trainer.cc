#include "opencloc/mllm/trainer.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <spdlog/fmt/fmt.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"
#include "opencloc/base/progress.h"
#include "opencloc/base/random_streams.h"
#include "opencloc/base/rng.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/mllm/dialogue_source.h"
#include "opencloc/mllm/objective.h"
#include "opencloc/mllm/report_answers.h"
#include "opencloc/model/clip/preprocess.h"
#include "opencloc/model/quantized.h"
#include "opencloc/text/sentence_piece.h"
#include "opencloc/train/lock.h"
#include "opencloc/train/start_together.h"

namespace opencloc {
namespace {

constexpr uint64_t kTokenizerSamples = 20'000;  // records read for their dialogues
constexpr uint64_t kLooked = 256;               // samples looked at before step 1

// Calls visit(source, index) for up to `most` random samples; all of a small store.
template <typename Visit>
void visit_some(const SampleStore& store, uint64_t most, Rng rng, const Visit& visit) {
  std::vector<std::pair<int, uint64_t>> places;
  for (int source = 0; source < store.sources(); ++source) {
    const uint64_t share = std::max<uint64_t>(1, most * store.size(source) / store.total());
    const uint64_t count = std::min(store.size(source), share);
    const Permutation order(store.size(source), rng.next(), {static_cast<uint64_t>(source)});
    for (uint64_t i = 0; i < count; ++i) places.emplace_back(source, order[i]);
  }
  for (const auto& [source, index] : places) visit(source, index);
}

// Questions and answers with coordinates in place of their boxes, as they will be read.
std::vector<std::string> texts_of(const Record& record, Frame frame, SkipCounter& skips) {
  std::vector<std::string> texts;
  for (const Dialogue& dialogue : read_dialogues(record, record.key, skips)) {
    for (const Turn& turn : dialogue.turns) {
      for (const auto& text : {turn.ask, turn.say})
        texts.push_back(text_in_frame(text, dialogue, {1000, 1000}, {.frame = frame}));
    }
  }
  return texts;
}

std::shared_ptr<const Tokenizer> build_tokenizer(const MllmTrainConfig& config,
                                                 const SampleStore& store) {
  const auto path = config.out / "tokenizer.model";
  log::info("building a tokenizer from the dialogues of up to {} samples", kTokenizerSamples);
  std::deque<std::string> texts{"USER: ASSISTANT:"};
  SkipCounter quiet(0);  // counted and named when training draws them
  visit_some(
      store, kTokenizerSamples, Rng(config.seed, {random_stream::kTokenizer}),
      [&](int source, uint64_t index) {
        try {
          for (auto& text : texts_of(store.read(source, index), config.settings.frame, quiet))
            texts.push_back(std::move(text));
        } catch (const BadSample&) {
          return;
        }
      });
  if (texts.size() == 1) {
    throw Error::input("no sample has dialogues", config.data,
                       "make some with 'opencloc data dialogues'");
  }
  SentencePieceTraining training;
  training.vocab_size = static_cast<int>(config.vocab_size);
  training.symbols = {std::string(kImageSymbol), std::string(kRegionSymbol)};
  training.characters = "user:assistant[],.?";  // of every sequence, if not of every dialogue
  training.split_digits = true;
  const auto next = [&]() -> std::optional<std::string> {
    if (texts.empty()) return std::nullopt;
    std::string text = std::move(texts.front());
    texts.pop_front();
    return text;
  };
  train_sentencepiece(next, training, path);
  auto tokenizer = load_tokenizer(path);
  log::info("tokenizer with {} pieces: {}", tokenizer->vocab_size(), path.string());
  return tokenizer;
}

Cloc load_tower(const std::string& path) {
  LoadedModel loaded = load_model(path);
  if (is_quantized(loaded.model)) {
    throw Error::input("8-bit weights cannot be trained on", path,
                       "start from the model it was quantised from");
  }
  return loaded.model;
}

int64_t count_of(const NamedTensors& weights) {
  int64_t count = 0;
  for (const auto& [name, weight] : weights) count += weight.numel();
  return count;
}

void check_prompter(bool learns, const MllmSettings& settings) {
  if (learns && settings.model.region_source != RegionSource::kEmbedding) {
    throw Error::input("the Prompter is no source of regions here", "setting 'train_prompter'",
                       "leave it out, or use the setting 'region_source=prompter'");
  }
}

class MllmTrainee : public Trainee {
 public:
  explicit MllmTrainee(MllmTrainConfig config) : config_(std::move(config)) {
    config_.check();
    config_.adamw.vision_lr_scale = config_.vision_lr_scale;
  }

  const RunConfig& config() const override { return config_; }
  void complete(uint64_t data_samples) override { config_.complete(data_samples); }

  void set_up(const SampleStore& store, const std::optional<Checkpoint>& checkpoint) override {
    if (checkpoint) {
      model_ = load_mllm(checkpoint->path / "model");
    } else if (!config_.init.empty()) {
      model_ = load_mllm(config_.init);
    } else {
      Cloc vision = load_tower(config_.vision);
      fit_to_tower(vision, config_.settings);  // before the work
      auto tokenizer = build_tokenizer(config_, store);
      torch::manual_seed(config_.seed);
      model_ = new_mllm(std::move(vision), std::move(tokenizer), config_.settings);
    }
    check_prompter(config_.train_prompter, model_.settings);
  }

  void share(dist::Group& group) override {
    if (group.size() > 1) share_model(group);
    config_.sample.canvas = canvas_options(model_.vision->config());
    config_.sample.context_length = 1;  // there are no other texts
    config_.sample.augment = false;
    config_.sample.regions_per_image = 0;
    config_.sample.sequences = source(config_.dialogues, skips_);
    objective_ = make_mllm_objective(
        model_, {.tower = !config_.unlock_vision, .regions = !config_.train_prompter});
  }

  NamedTensors place() override {
    model_.to(torch::Device(config_.device));
    model_.set_precision(config_.precision);
    model_.set_backend(config_.backend);
    model_.vision->train();
    model_.reader->train();
    freeze();
    NamedTensors trained = trainable(reader_weights(model_));
    for (const auto& weights : {model_.vision->clip_weights(), model_.vision->region_weights()}) {
      for (const auto& [name, weight] : trainable(weights))
        trained.emplace_back(std::string(kVisionPrefix) + name, weight);
    }
    return trained;
  }

  std::string look_ahead(const SampleStore& store, const NamedTensors& trained) override;

  SampleOptions samples() const override { return config_.sample; }
  PixelOptions pixels() const override {
    const auto& preprocess = model_.vision->config().preprocess;
    return {.mean = preprocess.mean, .std = preprocess.std};
  }
  const Tokenizer& tokenizer() const override { return *model_.tokenizer; }
  Objective& objective() override { return *objective_; }

  bool evaluates() const override { return config_.evaluate != nullptr; }
  Json evaluate(int64_t step, dist::Group& group) override {
    Json results = config_.evaluate(model_, step, group);
    model_.vision->train();
    model_.reader->train();
    return results;
  }

  void save(const std::filesystem::path& folder, const Json& about) const override {
    save_mllm(folder, model_, about);
  }
  std::string title() const override {
    const auto& words = model_.settings.model.language;
    return fmt::format("(multimodal, {} x {} over {})", words.layers, words.width,
                       model_.vision->config().name);
  }
  // Of dialogues that were left out, each time they were drawn.
  std::string left_out() const { return skips_.summary(); }

  std::vector<ReportPicture> pictures(const SampleStore& store) override {
    return report_answers(store, model_, config_.report_pictures);
  }

 private:
  std::shared_ptr<const SequenceSource> source(int64_t dialogues, SkipCounter& skips) const {
    return std::make_shared<DialogueSource>(
        *model_.tokenizer,
        DialogueSourceOptions{.sequence = model_.sequence_options(),
                              .dialogues = dialogues,
                              .cloud_points = model_.cloud_points()},
        skips);
  }

  // Only the tower's tokens (and with train_prompter its Prompter) are read: the rest of it never
  // learns.
  void freeze() {
    for (const auto& weights : {model_.vision->clip_weights(), model_.vision->region_weights()}) {
      for (auto [name, weight] : weights) {
        const bool tower = config_.unlock_vision && name.starts_with("visual.");
        const bool prompter = config_.train_prompter && name.starts_with("prompter.");
        weight.set_requires_grad(tower || prompter);
      }
    }
    for (auto [name, weight] : reader_weights(model_))
      weight.set_requires_grad(!config_.projector_only || !name.starts_with("language_model."));
  }

  void share_model(dist::Group& group) {
    const auto settings = dist::broadcast(
        group, group.is_first() ? dump_json(mllm_settings_json(model_.settings)) : std::string());
    TrainedParts tower;
    tower.model = model_.vision;
    tower.tokenizer = model_.tokenizer;
    tower = share_parts(group, std::move(tower));
    if (!group.is_first())
      model_ = new_mllm(
          tower.model, tower.tokenizer,
          mllm_settings_from_json(parse_json(settings, "what rank 0 sent"), "what rank 0 sent"));
    share_tensors(group, reader_weights(model_));
  }

  MllmTrainConfig config_;
  MllmModel model_;
  SkipCounter skips_;  // of dialogues
  std::unique_ptr<Objective> objective_;
};

std::string MllmTrainee::look_ahead(const SampleStore& store, const NamedTensors& trained) {
  SkipCounter skips(0);
  const auto all = source(0, skips);
  int64_t looked = 0, of_use = 0, ids = 0, words = 0, regions = 0;
  visit_some(
      store, kLooked, Rng(config_.seed, {random_stream::kPreflight}), [&](int at, uint64_t index) {
        ++looked;
        try {
          const Record record = store.read(at, index);
          Rng rng(config_.seed, {random_stream::kPreflight, index});
          const Image image = Image::decode(record.image, record.key);
          const auto sequence = all->make(record, record.key, image.width, image.height, rng);
          ++of_use;
          ids += static_cast<int64_t>(sequence.ids.size());
          words += std::count(sequence.learned.begin(), sequence.learned.end(), 1);
          regions += static_cast<int64_t>(sequence.regions.size());
        } catch (const BadSample& bad) {
          skips.add(bad);
        } catch (const Error& error) {
          skips.add(skip::kBadImage, "", error.what());
        }
      });
  if (of_use == 0) {
    throw Error::input(
        fmt::format("none of {} samples looked at can be used ({})", looked, skips.summary()),
        config_.data, "check the data (data stats), and whether it has dialogues");
  }
  const double each = 1.0 / static_cast<double>(of_use);
  const double epochs =
      static_cast<double>(config_.steps * config_.batch_size) / static_cast<double>(store.total());
  return fmt::format(
      "  data             {} samples, {:.2f} epochs\n"
      "  readable         {} of {} looked at{}\n"
      "  sequences        {:.0f} ids a picture with all its dialogues, {:.0f} of them to learn, "
      "{:.1f} regions; context {}\n"
      "  model            {} parameters learn, of {}\n",
      store.total(), epochs, of_use, looked, skips.total() > 0 ? " (" + skips.summary() + ")" : "",
      static_cast<double>(ids) * each, static_cast<double>(words) * each,
      static_cast<double>(regions) * each, model_.settings.model.language.context_length,
      format_count(static_cast<double>(count_of(trained))),
      format_count(static_cast<double>(count_of(reader_weights(model_)) +
                                       count_of(model_.vision->clip_weights()))));
}

}  // namespace

void MllmTrainConfig::check() const {
  RunConfig::check();
  if (vision.empty() == init.empty()) {
    throw Error::input(vision.empty() ? "no image tower is named" : "two models are named",
                       "settings 'vision' and 'init'",
                       "give the model directory of a tower, or a multimodal model to go on from");
  }
  if (!(vision_lr_scale > 0))
    throw Error::input("the tower's learning rate is not above 0", "setting 'vision_lr_scale'",
                       "0.1 is usual; without the setting 'unlock_vision' it does not learn");
  if (init.empty()) check_prompter(train_prompter, settings);
  const LanguageConfig& words = settings.model.language;
  if (init.empty() && (words.heads < 1 || words.width % words.heads != 0)) {
    throw Error::input(
        fmt::format("a width of {} cannot be shared by {} heads", words.width, words.heads),
        "setting 'lm'", "give LAYERSxWIDTH with a width that 64 or 32 divides");
  }
}

TrainResult train_mllm(MllmTrainConfig config, dist::Group& group) {
  MllmTrainee trainee(std::move(config));
  const TrainResult result = train(trainee, group);
  if (const auto left_out = trainee.left_out(); !left_out.empty())
    log::warn("dialogues, each time they were drawn: {}", left_out);
  return result;
}

}  // namespace opencloc

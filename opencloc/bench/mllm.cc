#include <torch/utils.h>

#include "opencloc/bench/made_up_batch.h"
#include "opencloc/bench/operations.h"
#include "opencloc/bench/precision.h"
#include "opencloc/bench/subjects.h"
#include "opencloc/mllm/answers.h"
#include "opencloc/mllm/objective.h"
#include "opencloc/train/optimizer.h"
#include "opencloc/train/step.h"

namespace opencloc::bench {
namespace {

// Four turns about a picture.
constexpr int64_t kAsked = 110, kToLearn = 40, kRegions = 2, kAnswered = 8;
constexpr int64_t kVocabulary = 1024, kImageId = 3, kRegionId = 4, kFirstWord = 5;

MllmModel made_up_model(const ModelConfig& tower, RegionSource source) {
  MllmModel model;
  MllmConfig& config = model.settings.model;
  config.language = {
      .vocab_size = kVocabulary, .context_length = 512, .width = 192, .layers = 4, .heads = 3};
  config.image_id = kImageId;
  config.region_id = kRegionId;
  config.region_source = source;
  config.sampler.points = 64;
  config.sampler.rounds = {{32, 6}, {8, 6}};
  model.settings.vision_layer = -1;
  torch::manual_seed(1);
  model.vision = Cloc(tower);
  fit_to_tower(model.vision, model.settings);
  model.reader = Mllm(config);
  return model;
}

// Sequences of one length: the picture, then words among which kRegions stand.
Batch made_up_dialogues(const ModelConfig& tower, int64_t images, uint64_t seed) {
  BatchShape shape;
  shape.images = images;
  shape.regions_per_image = kRegions;
  Batch batch = made_up_batch(tower, shape, seed);
  const int64_t patches = tower.vision.patches(), length = patches + kAsked;
  torch::manual_seed(seed);
  batch.sequence_ids = torch::randint(kFirstWord, kVocabulary, {images, length}, torch::kInt64);
  batch.sequence_ids.slice(1, 1, 1 + patches).fill_(kImageId);
  for (int64_t i = 0; i < kRegions; ++i)
    batch.sequence_ids.select(1, patches + 10 + i * 20).fill_(kRegionId);
  batch.sequence_learned = torch::zeros({images, length}, torch::kBool);
  batch.sequence_learned.slice(1, length - kToLearn).fill_(true);
  batch.clouds = torch::rand({batch.regions(), 64, 2});
  return batch;
}

// The language model over T places, of which `read` are read off.
double language_operations(const LanguageConfig& config, int64_t places, int64_t read) {
  const auto t = static_cast<double>(places), d = static_cast<double>(config.width);
  return static_cast<double>(config.layers) * (24.0 * t * d * d + 4.0 * t * t * d) +
         2.0 * static_cast<double>(read * config.vocab_size) * d;
}

// A frozen tower goes forward alone.
double step_operations(const MllmModel& model, const Batch& batch) {
  const ModelConfig& tower = model.vision->config();
  const auto images = static_cast<double>(batch.images());
  const LanguageConfig& language = model.settings.model.language;
  return images * (image_operations(tower) +
                   3 * language_operations(language, batch.sequence_ids.size(1), kToLearn));
}

void answer_all(MllmModel& model, const Batch& batch) {
  constexpr int64_t kNeverEnds = -1;
  const torch::NoGradGuard no_grad;
  write_on(model, embed_sequences(model, batch), kNeverEnds, kAnswered);
}

}  // namespace

void mllm(const BenchOptions& options) {
  const std::string name = options.model.empty() ? "ViT-XXS-16-96" : options.model;
  const ModelConfig tower = load_model_config(name);
  const int64_t images = options.batch > 0 ? options.batch : 32;
  const Batch batch = made_up_dialogues(tower, images, options.seed);
  const std::string suffix = "/b" + std::to_string(images);
  for (const BenchPrecision& precision : precisions_of(options)) {
    if (precision.prepare != nullptr) continue;  // only for inference of the towers
    for (const auto source :
         {RegionSource::kMean, RegionSource::kSampler, RegionSource::kEmbedding}) {
      MllmModel model = made_up_model(tower, source);
      model.set_precision(precision.products);
      AdamW optimizer(reader_weights(model), {});
      const auto objective = make_mllm_objective(model, {});
      const Spent step = time_of(options.seconds, [&] {
        forward_backward(*objective, batch);
        optimizer.step(1e-6, optimizer.grad_norm());
        optimizer.zero_grad();
      });
      const std::string what = name + "/" + to_string(source) + "/" + precision.name + suffix;
      auto figure = figure_of("mllm/train/" + what, static_cast<double>(images), step);
      figure.gflops = step_operations(model, batch) / step.wall * 1e-9;
      figure.peak = peak_of(precision, torch::kCPU);
      figure.more["places"] = batch.sequence_ids.size(1);
      figure.more["peak_mib"] = status_kib("VmHWM:") / 1024;
      report(options, figure);

      const Spent answer = time_of(options.seconds, [&] { answer_all(model, batch); });
      auto answers = figure_of("mllm/answer/" + what, static_cast<double>(images), answer);
      answers.more["words"] = kAnswered;
      report(options, answers);
    }
  }
}

}  // namespace opencloc::bench

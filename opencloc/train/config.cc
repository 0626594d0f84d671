#include "opencloc/train/config.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "opencloc/base/error.h"
#include "opencloc/base/parallel_for.h"

namespace opencloc {
namespace {

void require(bool holds, const char* what, const char* flag, const char* mend) {
  if (!holds) throw Error::input(what, flag, mend);
}

}  // namespace

void TrainConfig::check() const {
  require(!data.empty(), "no data", "--data", "name shards: --data 'shards/*.tar'");
  require(!out.empty(), "no run directory", "--out", "name a folder");
  require(batch_size >= 1, "batch of no sample", "--batch-size", "give 1 or more");
  require(accum_freq >= 1 && accum_freq <= batch_size, "not between 1 and the batch size",
          "--accum-freq", "the batch is passed through the model in that many parts");
  const int lengths = (steps != 0) + (samples != 0) + (epochs != 0);
  require(lengths == 1 && steps >= 0 && samples >= 0 && epochs >= 0, "the length of the run",
          "--steps, --samples, --epochs", "give one of them, above 0");
  require(lr > 0 && std::isfinite(lr), "not a learning rate", "--lr", "give a number above 0");
  require(adamw.beta1 >= 0 && adamw.beta1 < 1, "not in [0, 1)", "--beta1", "0.9 is usual");
  require(adamw.beta2 >= 0 && adamw.beta2 < 1, "not in [0, 1)", "--beta2", "0.98 is usual");
  require(adamw.weight_decay >= 0, "negative", "--wd", "0.2 is usual");
  require(objective_options.filter.threshold > 0 && objective_options.filter.threshold <= 1,
          "not in (0, 1]", "--text-filter", "give a cosine such as 0.9, or off");
  require((!lock.image && !lock.text) || !init.empty(), "freezes a tower that knows nothing",
          "--lock-image, --lock-text", "give --init a model directory");
  require(lock.image || lock.image_unlocked_groups == 0, "without --lock-image",
          "--lock-image-unlocked-groups", "add --lock-image");
  require(lock.text || lock.text_unlocked_groups == 0, "without --lock-text",
          "--lock-text-unlocked-layers", "add --lock-text");
  require(!lock.both_whole() || objective->regions || objective->captions,
          "nothing is left to train", "--lock-image --lock-text",
          "unlock a group, or use --objective cloc");
  for (const double weight :
       {objective_options.contrastive_weight, objective_options.caption_weight}) {
    require(weight >= 0 && std::isfinite(weight), "negative",
            "--coca-contrastive-loss-weight, --coca-caption-loss-weight", "1 and 2 are usual");
  }
  require(!objective->captions ||
              objective_options.contrastive_weight + objective_options.caption_weight > 0,
          "both are 0", "--coca-contrastive-loss-weight, --coca-caption-loss-weight",
          "1 and 2 are usual");
  require(keep_checkpoints >= 0, "negative", "--keep-checkpoints", "0 keeps all");
  require(log_every >= 1, "not at least 1", "--log-every", "give a number of steps");
  require(resume == "none" || !overwrite, "only with --resume none", "--overwrite",
          "a run is either continued or replaced");
  sample.validate();
}

void TrainConfig::complete(uint64_t data_samples) {
  if (epochs > 0) samples = std::llround(epochs * static_cast<double>(data_samples));
  if (samples > 0) steps = (samples + batch_size - 1) / batch_size;
  steps = std::max<int64_t>(1, steps);
  if (warmup < 0) warmup = std::min<int64_t>(2000, steps / 10);
  if (save_every <= 0) save_every = std::max<int64_t>(1, steps / 10);
  if (workers <= 0) workers = std::min(16, available_cpus());
  if (!objective->regions) sample.regions_per_image = 0;
  objective_options.clip =
      !lock.both_whole() && !(objective->captions && objective_options.contrastive_weight == 0);
}

std::vector<double> parse_weights(std::string_view text, std::string_view flag) {
  std::vector<double> weights;
  while (true) {
    const size_t at = text.find("::");
    const auto part = text.substr(0, at);
    double value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc() || end != part.data() + part.size() || !(value > 0)) {
      throw Error::input("not a weight: '" + std::string(part) + "'", flag,
                         "give one number above 0 a source, e.g. 1::2");
    }
    weights.push_back(value);
    if (at == std::string_view::npos) return weights;
    text.remove_prefix(at + 2);
  }
}

std::vector<double> source_weights(const TrainConfig& config, const std::vector<uint64_t>& sizes) {
  if (!config.data_weights.empty()) return parse_weights(config.data_weights, "--data-weights");
  if (config.data_upsampling.empty()) return {};
  auto weights = parse_weights(config.data_upsampling, "--train-data-upsampling-factors");
  for (size_t i = 0; i < weights.size() && i < sizes.size(); ++i) {
    weights[i] *= static_cast<double>(sizes[i]);
  }
  return weights;  // a wrong number of them is the Sampler's error
}

}  // namespace opencloc

#include "opencloc/train/memory_estimate.h"

#include <algorithm>
#include <cmath>

namespace opencloc {
namespace {

constexpr double kProgram = 170e6;  // the program and its libraries, buffers of loader and logs

// Bytes that a tower of blocks keeps of a text or picture of `tokens` for its backward pass. A
// block keeps 16 rows of its width a token: its input, the two norms' outputs, queries, keys and
// values, what attention made of them, the sum behind it, and the hidden layer before and after its
// activation (4 widths each). Attention weights are never kept.
double tower(int64_t width, int64_t layers, double tokens) {
  return 4.0 * 16.0 * static_cast<double>(width * layers) * tokens;
}

// Of the texts of one picture, lengths as computed: groups are cut after their longest text.
double texts_bytes(const TrainConfig& config, const ModelConfig& model, const SampleShape& sample) {
  const auto length = [&](double tokens) {
    const auto context = static_cast<double>(model.text.context_length);
    return model.text.padding_is_ignored() ? std::min(context, 1.2 * tokens) : context;
  };
  double bytes = 0;
  if (config.objective_options.clip || config.objective->captions)
    bytes += tower(model.text.width, model.text.layers, length(sample.caption_tokens));
  if (config.objective->regions)
    bytes +=
        sample.regions * tower(model.text.width, model.text.layers, length(sample.region_tokens));
  return bytes;
}

double image_bytes(const TrainConfig& config, const ModelConfig& model, const SampleShape& sample) {
  const auto tokens = static_cast<double>(model.vision.patches() + 1);
  const auto width = model.vision.width;
  double bytes = tower(width, model.vision.layers, tokens);
  if (config.objective->regions) {
    // Keys and values of the Prompter, once per picture; per region its layer on a few prompt
    // tokens, or with pool `all` on every token, for the box and again for the text.
    const double queries = model.cloc.pool == Pool::kAll ? tokens : 4;
    bytes += 4.0 * 10.0 * tokens * static_cast<double>(width) +
             (2.0 * sample.regions +
              static_cast<double>(config.sample.rated_boxes + config.sample.box_crops)) *
                 (tower(width, 1, queries) + 4.0 * queries * tokens);
  }
  if (config.objective->captions && model.multimodal) {  // a block attends to words and to pixels
    bytes += tower(
        model.multimodal->width, 2 * model.multimodal->layers,
        std::min(static_cast<double>(model.text.context_length), 1.2 * sample.caption_tokens));
  }
  return bytes;
}

// The classes with their moments, and what a step makes of some of them.
double entity_bytes(const TrainConfig& config, const ModelConfig& model) {
  if (!config.learns_entities() || !config.sample.entities) return 0;
  const auto classes = static_cast<double>(config.sample.entities->classes());
  const auto used =
      std::min(classes, static_cast<double>(config.entities.negatives + config.batch_size));
  const auto width = static_cast<double>(model.embed_dim);
  constexpr double kStrip = 4.0 * 3.0 * (1 << 23);  // of similarities (loss/entity.cc)
  // Vectors, unit vectors, their gradients and what is summed up.
  return classes * (12.0 * width + 8.0) + used * 6.0 * 4.0 * width +
         std::min(kStrip, 12.0 * used * static_cast<double>(config.batch_size));
}

// Of self-distillation: the tower's masked pass, the head's hidden layers in the scored places, and
// three rows of the prototypes in each (logits, their logarithms, the teacher's).
double distilled_bytes(const TrainConfig& config, const ModelConfig& model) {
  const DistillationOptions& options = config.distillation;
  if (!options.on()) return 0;
  const auto patches = static_cast<double>(model.vision.patches());
  const double places = (options.weight == 0                    ? 0
                         : options.places == ScoredPlaces::kAll ? 1
                                                                : options.mask) *
                            patches +
                        (options.global_weight > 0 ? 1 : 0);
  return tower(model.vision.width, model.vision.layers, patches + 1) +
         4.0 * places * static_cast<double>(4 * options.head.hidden + 3 * options.head.prototypes);
}

}  // namespace

double estimate_memory(const TrainConfig& config, const ModelConfig& model, int64_t weights,
                       int64_t trained, const SampleShape& sample) {
  const double state = 4.0 * static_cast<double>(weights) + 12.0 * static_cast<double>(trained);
  const auto batch = static_cast<double>(config.batch_size);
  const double side = static_cast<double>(model.vision.image_size);
  // Three batches of pixels (in use, ready, being made), and a batch of decoded pictures.
  const auto views = static_cast<double>(config.objective_options.captioned_views);
  const auto crop = static_cast<double>(config.crop_distillation.size_for(model));
  const double areas =
      views * side * side + static_cast<double>(config.sample.box_crops) * crop * crop;
  const double pixels = batch * 3.0 * areas * (3.0 * 4.0 + 1.0);
  const double parts = static_cast<double>(config.accum_freq);
  const double part = std::ceil(batch / parts);
  const double images = image_bytes(config, model, sample);
  const double distilled = distilled_bytes(config, model);
  const double texts = texts_bytes(config, model, sample);
  // In one graph everything is kept; in parts a part of the images, or as many texts (of which a
  // picture may have several: its caption and its regions').
  double activations = part * (views * images + distilled + texts);
  if (config.accum_freq > 1 && !config.objective->captions) {
    const double texts_per_image = 1 + (config.objective->regions ? sample.regions : 0);
    activations = part * std::max({images, distilled, texts / texts_per_image});
  }
  return kProgram + state + pixels + activations + entity_bytes(config, model);
}

}  // namespace opencloc

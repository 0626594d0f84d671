#include <torch/utils.h>

#include "opencloc/base/log.h"
#include "opencloc/bench/made_up_batch.h"
#include "opencloc/bench/operations.h"
#include "opencloc/bench/precision.h"
#include "opencloc/bench/subjects.h"
#include "opencloc/objective/batch_texts.h"
#include "opencloc/train/optimizer.h"
#include "opencloc/train/step.h"

namespace opencloc::bench {
namespace {

// Of one step: texts at the lengths they are computed at.
double step_operations(const ModelConfig& config, const Batch& batch, bool regions) {
  const TextBatch texts =
      distinct_texts(batch, {.with_regions = regions, .cut = config.text.padding_is_ignored()});
  double forward = static_cast<double>(batch.images()) * image_operations(config);
  for (const auto& group : texts.groups) {
    forward += static_cast<double>(group.size(0)) * text_operations(config, group.size(1));
  }
  if (regions) {  // a box and a text prompt each
    forward += static_cast<double>(batch.images()) * prompt_image_operations(config) +
               static_cast<double>(batch.regions()) *
                   (box_prompt_operations(config) + text_prompt_operations(config));
  }
  return 3.0 * forward;
}

// A device is waited for after several steps, as in training.
int64_t steps_of(torch::Device device) { return device.is_cpu() ? 1 : 10; }

void one_step(Objective& objective, const Batch& batch, Cloc& model, AdamW& optimizer) {
  constexpr double kLr = 1e-6;
  const bool late = !model->logit_scale.device().is_cpu();
  forward_backward(objective, batch, {.late = late});
  hold_capped_logit_scales(model);
  if (late) {
    optimizer.late_step(kLr, optimizer.late_grad_norm());
  } else {
    optimizer.step(kLr, optimizer.grad_norm());
  }
  optimizer.zero_grad();
  clamp_logit_scales(model);
}

}  // namespace

void train(const BenchOptions& options) {
  const std::string name = options.model.empty() ? "ViT-B-16" : options.model;
  const ModelConfig config = load_model_config(name);
  BatchShape shape;
  if (options.batch > 0) shape.images = options.batch;
  const Batch batch = made_up_batch(config, shape, options.seed);
  const auto device = device_of(options);
  const std::string suffix =
      "/b" + std::to_string(shape.images) + (device.is_cpu() ? "" : "/" + options.device);
  for (const BenchPrecision& precision : precisions_of(options)) {
    if (precision.prepare != nullptr) {  // for inference alone
      if (!options.precisions.empty()) log::warn("train: nothing trains in {}", precision.name);
      continue;
    }
    torch::manual_seed(1);
    Cloc model(config);
    model->to(device);
    model->set_precision(precision.products);
    auto weights = model->clip_weights();
    for (auto& weight : model->region_weights()) weights.push_back(weight);
    AdamW optimizer(weights, {});
    Spent spent[2];
    for (const char* const name_of : {"clip", "cloc"}) {
      const auto* row = find_objective(name_of);
      const auto objective = row->make(model, {});
      Spent& step = spent[row->regions ? 1 : 0];
      step = time_of(options.seconds, [&] {
        for (int64_t i = 0; i < steps_of(device); ++i)
          one_step(*objective, batch, model, optimizer);
        wait_for(model->logit_scale);
      });
      step.wall /= static_cast<double>(steps_of(device));
      step.cpu /= static_cast<double>(steps_of(device));
      auto figure = figure_of("train/" + name + "/" + row->name + "/" + precision.name + suffix,
                              static_cast<double>(shape.images), step);
      figure.gflops = step_operations(config, batch, row->regions) / step.wall * 1e-9;
      figure.peak = peak_of(precision, device);
      report(options, figure);
    }
    Figure ratio;
    ratio.name = "train/" + name + "/cloc-to-clip/" + precision.name + suffix;
    ratio.more["times"] = spent[1].wall / spent[0].wall;
    ratio.more["times_of_cpu"] = spent[1].cpu / spent[0].cpu;
    report(options, ratio);
  }
}

}  // namespace opencloc::bench

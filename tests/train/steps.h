// Some training steps of every kind of model and loss, on any device and backend, and what they
// leave behind.
#pragma once

#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/model/config/config.h"
#include "opencloc/objective/objective.h"
#include "opencloc/ops/transfer.h"
#include "opencloc/train/optimizer.h"
#include "opencloc/train/step.h"
#include "tests/train/random_batch.h"

namespace opencloc::fixtures {

// Every part of the pipeline between them.
struct Recipe {
  const char* name;
  const char* architecture = "ViT-Test";
  const char* objective = "cloc";
  void (*change)(ModelConfig& config) = [](ModelConfig&) {};
  bool filter_open = false;
  bool mixed_prompts = false;
  int64_t accum_freq = 1;
};
inline const std::vector<Recipe>& recipes() {
  static const std::vector<Recipe> all = {
      {.name = "clip", .objective = "clip"},
      {.name = "cloc"},
      {.name = "filter open", .filter_open = true},
      {.name = "points and masks", .mixed_prompts = true},
      {.name = "in pieces", .accum_freq = 3},
      {.name = "pool all", .change = [](ModelConfig& config) { config.cloc.pool = Pool::kAll; }},
      {.name = "RoIAlign",
       .change =
           [](ModelConfig& config) {
             config.cloc.region_extractor = RegionExtractor::kRoiAlign;
             config.quick_gelu = true;
           }},
      {.name = "sigmoid", .change = [](ModelConfig& config) { config.init_logit_bias = -10; }},
  };
  return all;
}

inline Batch batch_of(const Recipe& recipe) {
  Batch batch = random_batch(6, {0, 0, 1, 3, 3, 3, 5});
  batch.has_text = torch::tensor({true, true, false, true, true, true});
  batch.names_one_box = torch::tensor({true, false, true, true, false, true, true});
  batch.region_text_id[3] = batch.region_text_id[0];
  if (recipe.mixed_prompts) {
    batch.prompt_kind = torch::tensor({0, 1, 2, 0, 2, 1, 1}, torch::kInt64);
    batch.points = batch.boxes.slice(1, 0, 2).unsqueeze(1) + 0.15 * torch::rand({7, 8, 2});
  }
  return batch;
}

inline Cloc model_of(const Recipe& recipe) {
  ModelConfig config = load_model_config(recipe.architecture);
  recipe.change(config);
  torch::manual_seed(5);
  return Cloc(config);
}

inline NamedTensors all_weights(const Cloc& model) {
  auto weights = model->clip_weights();
  for (auto& weight : model->region_weights()) weights.push_back(weight);
  return weights;
}

// What `steps` steps leave behind, in main memory.
struct Trained {
  std::vector<double> losses, norms;
  NamedTensors gradients, weights;
  std::map<std::string, double> figures;
};

struct How {
  torch::Device device = torch::kCPU;
  Backend backend = Backend::kKernels;
  Precision precision = Precision::kFp32;
  bool late = false;
  // Called when all lies on the device, and when all steps are made and nothing is read of them.
  std::function<void()> before_steps, before_reading;
};

inline Trained train_steps(const Recipe& recipe, const How& how, int steps = 3) {
  Cloc model = model_of(recipe);
  const Batch batch = batch_of(recipe);
  model->to(how.device);
  model->set_backend(how.backend);
  model->set_precision(how.precision);
  const BackendScope scope(how.backend);
  NamedTensors trained;
  for (auto& weight : all_weights(model)) trained.push_back(weight);
  AdamW optimizer(trained, {});
  const auto objective = find_objective(recipe.objective)->make(model, {});
  if (recipe.filter_open) objective->load_state({{"open", true}}, "test");
  Trained result;
  std::vector<torch::Tensor> numbers, gradients;
  if (how.before_steps) how.before_steps();
  for (int step = 0; step < steps; ++step) {
    optimizer.zero_grad();
    StepResult got =
        forward_backward(*objective, batch, {.accum_freq = recipe.accum_freq, .late = how.late});
    hold_capped_logit_scales(model);
    if (step + 1 == steps) {  // the optimizer may scale them where they lie
      for (const auto& [name, weight] : trained)
        gradients.push_back(weight.grad().defined() ? weight.grad().clone() : torch::Tensor());
    }
    if (how.late) {
      const auto norm = optimizer.late_grad_norm();
      optimizer.late_step(1e-3, norm);
      numbers.push_back(torch::cat({ops::to_device(got.figures.stacked(), how.device),
                                    got.late_loss.view({1}), norm.view({1})}));
    } else {
      const double norm = optimizer.grad_norm();
      optimizer.step(1e-3, norm);
      result.losses.push_back(got.loss);
      result.norms.push_back(norm);
    }
    clamp_logit_scales(model);
    if (step + 1 == steps) {
      if (how.before_reading) how.before_reading();
      for (const auto& some : numbers) {
        const auto host = some.to(torch::kCPU);
        result.losses.push_back(host[-2].item<double>());
        result.norms.push_back(host[-1].item<double>());
      }
      const Json figures = got.figures.values();
      for (const auto& item : figures.items())
        result.figures[item.key()] = item.value().get<double>();
    }
  }
  for (size_t i = 0; i < trained.size(); ++i) {
    const auto& [name, weight] = trained[i];
    result.weights.emplace_back(name, weight.detach().to(torch::kCPU));
    result.gradients.emplace_back(
        name, gradients[i].defined() ? gradients[i].to(torch::kCPU) : torch::Tensor());
  }
  return result;
}

inline void expect_near(const NamedTensors& got, const NamedTensors& wanted, double share) {
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i) {
    const auto& [name, a] = got[i];
    const auto& b = wanted[i].second;
    ASSERT_EQ(a.defined(), b.defined()) << name;
    if (!a.defined()) continue;
    const double scale = std::max(1e-5, b.abs().max().item<double>());
    EXPECT_LE((a - b).abs().max().item<double>(), share * scale) << name;
  }
}

inline void expect_same(const Trained& got, const Trained& wanted) {
  for (size_t i = 0; i < wanted.losses.size(); ++i) {
    EXPECT_NEAR(got.losses[i], wanted.losses[i], 2e-4) << "step " << i;
    EXPECT_NEAR(got.norms[i], wanted.norms[i], 1e-3 * wanted.norms[i]) << "step " << i;
  }
  ASSERT_EQ(got.figures.size(), wanted.figures.size());
  for (const auto& [name, value] : wanted.figures)
    EXPECT_NEAR(got.figures.at(name), value, 1e-3) << name;
  // Of the last step, after two that differ by rounding; Adam's first steps have the size of the
  // learning rate whatever the gradient is.
  expect_near(got.gradients, wanted.gradients, 3e-2);
}

}  // namespace opencloc::fixtures

#include "opencloc/train/optimizer.h"

#include <gtest/gtest.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adamw.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/objective/filter_schedule.h"
#include "opencloc/train/schedule.h"

namespace opencloc {
namespace {

NamedTensors two_parameters() {
  torch::manual_seed(1);
  return {{"a.weight", torch::randn({3, 4}).requires_grad_()},
          {"a.bias", torch::randn({4}).requires_grad_()}};
}

void set_gradients(const NamedTensors& parameters, int step) {
  torch::manual_seed(100 + step);
  for (const auto& [name, parameter] : parameters) {
    parameter.mutable_grad() = 3 * torch::randn_like(parameter);
  }
}

TEST(AdamW, EqualsTorchsWithClipping) {
  const auto ours = two_parameters(), theirs = two_parameters();
  AdamWOptions options{
      .beta1 = 0.9, .beta2 = 0.98, .epsilon = 1e-6, .weight_decay = 0.3, .max_grad_norm = 1.0};
  AdamW optimizer(ours, options);
  const auto reference_options = [&](double decay) {
    return torch::optim::AdamWOptions(1e-2).betas({0.9, 0.98}).eps(1e-6).weight_decay(decay);
  };
  torch::optim::AdamW weight({theirs[0].second}, reference_options(0.3));
  torch::optim::AdamW bias({theirs[1].second}, reference_options(0));
  for (int step = 0; step < 5; ++step) {
    set_gradients(ours, step);
    set_gradients(theirs, step);
    const double norm = optimizer.grad_norm();
    const double expected =
        torch::nn::utils::clip_grad_norm_({theirs[0].second, theirs[1].second}, 1.0);
    EXPECT_NEAR(norm, expected, 1e-5 * expected);
    optimizer.step(1e-2, norm);
    weight.step();
    bias.step();
  }
  for (size_t i = 0; i < ours.size(); ++i) {
    EXPECT_TRUE(torch::allclose(ours[i].second, theirs[i].second, 1e-5, 1e-6)) << ours[i].first;
  }
}

TEST(AdamW, GoesOnFromSavedMoments) {
  const auto straight = two_parameters(), resumed = two_parameters();
  AdamW first(straight, {});
  AdamW before(resumed, {});
  AdamW after(resumed, {});
  for (int step = 0; step < 4; ++step) {
    set_gradients(straight, step);
    first.step(1e-2, first.grad_norm());
    set_gradients(resumed, step);
    if (step == 2) after.load(before.moments(), before.steps(), "test");
    AdamW& second = step < 2 ? before : after;
    second.step(1e-2, second.grad_norm());
  }
  EXPECT_TRUE(torch::equal(straight[0].second, resumed[0].second));
  EXPECT_THROW(after.load({{"m.a.weight", torch::zeros({3, 4})}}, 1, "test"), Error);
}

TEST(AdamW, LeavesParametersWithoutGradientAlone) {
  const auto parameters = two_parameters();
  const auto before = parameters[0].second.detach().clone();
  AdamW optimizer(parameters, {});
  parameters[1].second.mutable_grad() = torch::ones({4});
  optimizer.step(1e-2, optimizer.grad_norm());
  EXPECT_TRUE(torch::equal(parameters[0].second, before));
}

TEST(AdamW, AGradientThatIsNotFiniteShowsInTheNorm) {
  const auto parameters = two_parameters();
  set_gradients(parameters, 0);
  parameters[0].second.mutable_grad()[0][0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(std::isfinite(AdamW(parameters, {}).grad_norm()));
}

TEST(AdamW, DecayIsForMatricesAlone) {
  const auto matrix = torch::zeros({2, 2}), vector = torch::zeros({2}), scalar = torch::zeros({});
  EXPECT_TRUE(decays("visual.transformer.resblocks.0.mlp.c_fc.weight", matrix));
  EXPECT_TRUE(decays("visual.proj", matrix));
  EXPECT_TRUE(decays("token_embedding.weight", matrix));
  EXPECT_FALSE(decays("visual.positional_embedding", matrix));
  EXPECT_FALSE(decays("positional_embedding", matrix));
  EXPECT_FALSE(decays("prompter.type_embedding", matrix));
  EXPECT_FALSE(decays("visual.class_embedding", vector));
  EXPECT_FALSE(decays("visual.ln_post.weight", vector));
  EXPECT_FALSE(decays("visual.transformer.resblocks.0.mlp.c_fc.bias", vector));
  EXPECT_FALSE(decays("logit_scale", scalar));
}

TEST(Schedule, WarmsUpThenFallsAlongACosine) {
  const Schedule schedule{1.0, 10, 110};
  EXPECT_DOUBLE_EQ(schedule.at(0), 0.1);
  EXPECT_DOUBLE_EQ(schedule.at(9), 1.0);
  EXPECT_DOUBLE_EQ(schedule.at(10), 1.0);
  EXPECT_NEAR(schedule.at(60), 0.5, 1e-12);
  EXPECT_NEAR(schedule.at(110), 0.0, 1e-12);
  EXPECT_GT(schedule.at(109), 0.0);
  EXPECT_DOUBLE_EQ((Schedule{1.0, 0, 5}).at(0), 1.0);
}

TEST(FilterSchedule, OpensAfterEnoughStepsWithFewSimilarTexts) {
  FilterSchedule schedule({.on = true, .threshold = 0.9, .open_below = 0.2, .open_after = 3});
  for (const double share : {0.95, 0.1, 0.1, 0.5, 0.1, 0.1})
    EXPECT_EQ(schedule.observe(share), FilterChange::kNone);
  EXPECT_FALSE(schedule.filter().similarity_test);
  FilterSchedule resumed({.on = true, .threshold = 0.9, .open_below = 0.2, .open_after = 3});
  resumed.load(schedule.state(), "test");
  EXPECT_EQ(resumed.observe(0.1), FilterChange::kOpens);  // the third in a row
  EXPECT_TRUE(resumed.filter().similarity_test);
}

// Texts that drift together while the test is open have lost what keeps them apart.
TEST(FilterSchedule, ClosesAgainAfterEnoughStepsWithManySimilarTexts) {
  const FilterOptions options{.on = true, .threshold = 0.9, .open_below = 0.2, .open_after = 3};
  FilterSchedule schedule(options);
  schedule.load({{"open", true}, {"steps_below", 3}}, "a run of before the test could close");
  // Between 0.2 and 0.4 it stays as it is: no flutter.
  for (const double share : {0.9, 0.9, 0.3, 0.9, 0.41, 0.4, 0.39, 0.3, 0.3, 0.3, 0.5, 0.5})
    EXPECT_EQ(schedule.observe(share), FilterChange::kNone) << share;
  EXPECT_TRUE(schedule.open());
  FilterSchedule resumed(options);
  resumed.load(schedule.state(), "test");
  EXPECT_EQ(resumed.observe(0.5), FilterChange::kCloses);  // the third in a row
  EXPECT_FALSE(resumed.filter().similarity_test);
  for (const double share : {0.3, 0.3, 0.3, 0.3, 0.1, 0.1})
    EXPECT_EQ(resumed.observe(share), FilterChange::kNone) << share;
  EXPECT_EQ(resumed.observe(0.1), FilterChange::kOpens) << "and may open again";
}

TEST(FilterSchedule, StaysClosedWhenOff) {
  FilterSchedule schedule({.on = false, .open_after = 1});
  EXPECT_EQ(schedule.observe(0.0), FilterChange::kNone);
  EXPECT_FALSE(schedule.filter().similarity_test);
}

}  // namespace
}  // namespace opencloc

#include "opencloc/ops/optimizer_step.h"

#include <torch/optim/adamw.h>
#include <torch/utils.h>

#include "compare.h"

namespace opencloc::ops {
namespace {

std::vector<AdamWSlot> slots_of(const Tensors& values, double weight_decay) {
  std::vector<AdamWSlot> slots;
  for (const auto& value : values) {
    slots.push_back(
        {value.clone(), {}, torch::zeros_like(value), torch::zeros_like(value), weight_decay});
  }
  return slots;
}

TEST(AdamWStep, FollowsTorchsAdamW) {
  for (const auto isa : kernels::supported_isas()) {
    kernels::set_active_isa(isa);
    torch::manual_seed(1);
    Tensors values{torch::randn({}), torch::randn({3, 7}), torch::randn({100001})};
    auto slots = slots_of(values, 0.2);
    Tensors parameters;
    for (const auto& value : values) parameters.push_back(value.clone().requires_grad_(true));
    torch::optim::AdamW theirs(
        parameters,
        torch::optim::AdamWOptions(1e-2).betas({0.9, 0.98}).eps(1e-6).weight_decay(0.2));
    for (int step = 1; step <= 10; ++step) {
      for (size_t i = 0; i < slots.size(); ++i) {
        const auto grad = torch::randn_like(values[i]);
        slots[i].grad = grad;
        parameters[i].mutable_grad() = grad * 0.5;
      }
      adamw_step(slots, {.step = step,
                         .lr = 1e-2,
                         .beta1 = 0.9,
                         .beta2 = 0.98,
                         .epsilon = 1e-6,
                         .grad_scale = 0.5});
      theirs.step();
    }
    for (size_t i = 0; i < slots.size(); ++i) {
      EXPECT_LE(largest_difference(slots[i].value, parameters[i].detach()), 2e-6)
          << kernels::to_string(isa) << " " << i;
    }
  }
}

TEST(AdamWStep, WithoutGradientNothingMoves) {
  auto slots = slots_of({torch::ones({4}), torch::ones({0})}, 0.5);
  adamw_step(slots, {});
  EXPECT_TRUE(torch::equal(slots[0].value, torch::ones({4})));
}

TEST(AdamWStep, SameBitsForAnyNumberOfThreads) {
  torch::manual_seed(2);
  const Tensors values{torch::randn({300000}), torch::randn({77})};
  const Tensors grads{torch::randn({300000}), torch::randn({77})};
  std::vector<Tensors> results;
  for (const int threads : {1, 2, 5}) {
    kernels::set_thread_count(threads);
    auto slots = slots_of(values, 0.1);
    for (size_t i = 0; i < slots.size(); ++i) slots[i].grad = grads[i];
    adamw_step(slots, {});
    results.push_back({slots[0].value, slots[1].value, torch::tensor(grad_norm(grads))});
  }
  kernels::set_thread_count(1);
  for (const auto& result : results) {
    for (size_t i = 0; i < result.size(); ++i) EXPECT_TRUE(torch::equal(result[i], results[0][i]));
  }
}

TEST(AdamWStep, AutogradNoticesTheChange) {
  const auto value = torch::ones({3}).requires_grad_(true);
  const auto loss = (value * value).sum();  // keeps `value` for its backward pass
  std::vector<AdamWSlot> slots{{value, torch::ones({3}), torch::zeros({3}), torch::zeros({3}), 0}};
  adamw_step(slots, {});
  EXPECT_THROW(loss.backward(), c10::Error);
}

TEST(AdamWStep, ShapesMustAgree) {
  std::vector<AdamWSlot> slots{
      {torch::ones({3}), torch::ones({4}), torch::zeros({3}), torch::zeros({3}), 0}};
  EXPECT_THROW(adamw_step(slots, {}), c10::Error);
}

TEST(GradNorm, IsTheNormOverAllTensors) {
  torch::manual_seed(3);
  const auto a = torch::randn({70, 1000}), b = torch::randn({5});
  const double wanted = torch::cat({a.flatten(), b}).to(torch::kDouble).norm().item<double>();
  EXPECT_NEAR(grad_norm({a, torch::Tensor(), b.view({5, 1}), torch::empty({0})}), wanted,
              1e-9 * wanted);
  EXPECT_NEAR(grad_norm({a.t()}), a.to(torch::kDouble).norm().item<double>(), 1e-6);
  EXPECT_EQ(grad_norm({}), 0.0);
  EXPECT_TRUE(std::isnan(grad_norm({torch::tensor({1.0f, std::nanf("")})})));
}

TEST(ClipScale, NeverEnlarges) {
  EXPECT_EQ(clip_scale(0.5, 1.0), 1.0);
  EXPECT_NEAR(clip_scale(4.0, 1.0), 0.25, 1e-6);
}

}  // namespace
}  // namespace opencloc::ops

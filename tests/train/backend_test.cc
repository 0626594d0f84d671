// Whole training steps as a GPU makes them: by libtorch on the CPU, beside our kernels; and on a
// device of main memory that counts what waits for it (tests/fake_device.h).
#include <algorithm>
#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/image/normalize.h"
#include "opencloc/ops/transfer.h"
#include "opencloc/train/metrics_log.h"
#include "tests/base/temp_folder.h"
#include "tests/error_of.h"
#include "tests/fake_device.h"
#include "tests/train/steps.h"
#include "tests/train/tiny_run.h"

namespace opencloc {
namespace {

using fixtures::all_weights;
using fixtures::batch_of;
using fixtures::error_of;
using fixtures::expect_near;
using fixtures::expect_same;
using fixtures::fake_device;
using fixtures::FakeDevice;
using fixtures::How;
using fixtures::model_of;
using fixtures::recipes;
using fixtures::train_steps;
using testing::HasSubstr;
using testing::IsEmpty;

// On the device, where nothing may have waited when all steps are made.
How on_device(Precision precision, const char* recipe) {
  How how;
  how.device = fake_device();
  how.precision = precision;
  how.late = true;
  how.before_steps = [] { FakeDevice::get().reset(); };
  how.before_reading = [recipe] { EXPECT_THAT(FakeDevice::get().waits(), IsEmpty()) << recipe; };
  return how;
}
How on_torch(bool late, Precision precision = Precision::kFp32) {
  How how;
  how.backend = Backend::kTorch;
  how.precision = precision;
  how.late = late;
  return how;
}

// One step from the same weights: gradients and weights agree closely.
TEST(TorchBackend, OneStepAgreesWithOurKernels) {
  for (const auto& recipe : recipes()) {
    SCOPED_TRACE(recipe.name);
    const auto kernels = train_steps(recipe, {}, 1);
    for (const bool late : {false, true}) {
      const auto torch = train_steps(recipe, on_torch(late), 1);
      EXPECT_NEAR(torch.losses[0], kernels.losses[0], 2e-5);
      EXPECT_NEAR(torch.norms[0], kernels.norms[0], 1e-4 * kernels.norms[0]);
      expect_near(torch.gradients, kernels.gradients, 5e-4);
    }
  }
}

TEST(TorchBackend, SeveralStepsAgreeWithOurKernels) {
  for (const auto& recipe : recipes()) {
    SCOPED_TRACE(recipe.name);
    expect_same(train_steps(recipe, on_torch(true)), train_steps(recipe, {}));
  }
}

TEST(TorchBackend, Bf16IsNearF32) {
  for (const auto& recipe : recipes()) {
    SCOPED_TRACE(recipe.name);
    const auto f32 = train_steps(recipe, on_torch(false), 1);
    const auto bf16 = train_steps(recipe, on_torch(true, Precision::kBf16), 1);
    EXPECT_NEAR(bf16.losses[0], f32.losses[0], 0.02 * f32.losses[0]);
    std::vector<torch::Tensor> a, b;
    for (size_t i = 0; i < f32.gradients.size(); ++i) {
      if (!f32.gradients[i].second.defined()) continue;
      EXPECT_EQ(bf16.gradients[i].second.scalar_type(), torch::kFloat);
      a.push_back(f32.gradients[i].second.flatten());
      b.push_back(bf16.gradients[i].second.flatten());
    }
    const auto x = torch::cat(a), y = torch::cat(b);
    EXPECT_GT((x * y).sum().item<double>() / (x.norm() * y.norm()).item<double>(), 0.99);
  }
}

// The count itself: what it must see, and what it must not.
TEST(FakeDeviceTest, CountsWhatWaits) {
  auto& device = FakeDevice::get();
  const auto t = ops::to_device(torch::arange(6), fake_device());
  EXPECT_EQ(t.device(), fake_device());
  device.reset();
  const auto sum = (t * 2 + 1).sum().to(torch::kDouble);
  EXPECT_THAT(device.waits(), IsEmpty());
  EXPECT_EQ(sum.item<double>(), 36);
  EXPECT_THAT(device.waits(), testing::ElementsAre("_local_scalar_dense"));
  device.reset();
  EXPECT_EQ(t.cpu()[2].item<int64_t>(), 2);
  EXPECT_THAT(device.waits(), testing::ElementsAre("copy to the CPU"));
  device.reset();
  (void)t.ne(0).nonzero();
  EXPECT_THAT(device.waits(), testing::ElementsAre("aten::nonzero"));
  device.reset();
  (void)torch::ones({3}).to(fake_device());
  EXPECT_THAT(device.waits(), testing::ElementsAre("copy from the CPU that waits"));
  device.reset();
  EXPECT_THROW((void)(t + torch::ones({6})), c10::Error) << "a GPU takes no tensors of both";
  ops::LateNumbers late(sum.view({1}));
  EXPECT_THAT(device.waits(), IsEmpty());
  EXPECT_EQ(device.late_copies(), 1);
  EXPECT_EQ(late.wait()[0].item<double>(), 36);
  EXPECT_THAT(device.waits(), IsEmpty());
}

TEST(DeviceStep, NothingWaitsAndAllAgreesWithTheCpu) {
  for (const auto& recipe : recipes()) {
    SCOPED_TRACE(recipe.name);
    expect_same(train_steps(recipe, on_device(Precision::kFp32, recipe.name)),
                train_steps(recipe, {}));
  }
}

TEST(DeviceStep, NothingWaitsInBf16) {
  for (const auto& recipe : recipes()) {
    SCOPED_TRACE(recipe.name);
    const auto got = train_steps(recipe, on_device(Precision::kBf16, recipe.name));
    for (const double loss : got.losses) EXPECT_TRUE(std::isfinite(loss));
  }
}

TEST(DeviceStep, PixelsMayBeBytes) {
  Cloc model = model_of(recipes()[0]);
  torch::manual_seed(3);
  const auto bytes = torch::randint(0, 256, {2, 32, 32, 3}, torch::kByte);
  Image image(32, 32);
  std::vector<torch::Tensor> ready;
  const auto& preprocess = model->config().preprocess;
  for (int64_t i = 0; i < 2; ++i) {
    std::copy_n(bytes[i].data_ptr<uint8_t>(), image.pixels.size(), image.pixels.begin());
    ready.push_back(torch::empty({3, 32, 32}));
    normalize_chw(image, preprocess.mean, preprocess.std, ready.back().data_ptr<float>());
  }
  const torch::NoGradGuard no_grad;
  EXPECT_TRUE(torch::equal(model->encode_image(bytes).embedding,
                           model->encode_image(torch::stack(ready)).embedding));
}

class DeviceRun : public testing::Test {
 protected:
  DeviceRun() { fixtures::write_squares(folder_ / "a.tar", 24); }
  TrainConfig config(const char* name, const char* device, Backend backend) {
    auto config = fixtures::tiny_config(folder_ / "a.tar", folder_ / name);
    config.device = device;
    config.backend = backend;
    return config;
  }
  std::vector<double> losses(const char* name) {
    std::vector<double> all;
    for (const auto& line : read_metrics(folder_ / name / "metrics.jsonl"))
      all.push_back(line.at("loss").get<double>());
    return all;
  }
  fixtures::TempFolder folder_;
};

TEST_F(DeviceRun, LearnsAsOnTheCpu) {
  train(config("cpu", "cpu", Backend::kKernels));
  train(config("torch", "cpu", Backend::kTorch));
  train(config("device", "xpu:0", Backend::kKernels));
  const auto cpu = losses("cpu"), torch = losses("torch"), device = losses("device");
  ASSERT_EQ(cpu.size(), 8);
  ASSERT_EQ(torch.size(), 8);
  ASSERT_EQ(device.size(), 8);
  for (size_t i = 0; i < cpu.size(); ++i) {
    EXPECT_NEAR(torch[i], cpu[i], 1e-3) << i;
    EXPECT_NEAR(device[i], cpu[i], 1e-3) << i;
  }
}

// Twice as many steps with as many lines in the log and as many checkpoints: nothing more waits.
TEST_F(DeviceRun, StepsBetweenLogLinesWaitForNothing) {
  std::vector<size_t> counts;
  for (const int64_t steps : {4, 8}) {
    auto options = config(steps == 4 ? "four" : "eight", "xpu:0", Backend::kKernels);
    options.steps = options.save_every = options.log_every = steps;
    FakeDevice::get().reset();
    train(options);
    counts.push_back(FakeDevice::get().waits().size());
    EXPECT_EQ(FakeDevice::get().late_copies(), steps) << "one set of numbers a step, read later";
  }
  EXPECT_EQ(counts[0], counts[1]);
  EXPECT_GT(counts[0], 0) << "a checkpoint reads the weights";
}

// The loss becomes infinite; a step later the run stops, and names the step and its samples.
TEST_F(DeviceRun, WhatIsNotFiniteStopsTheRunAndLeavesTheWeightsClean) {
  auto options = config("bad", "cpu", Backend::kTorch);
  options.lr = 1e30;
  options.warmup = 0;
  options.save_every = options.log_every = 100;
  options.steps = 100;
  const auto message = error_of([&] { train(options); }, 1);
  EXPECT_THAT(message, HasSubstr("not_finite_batch.txt"));
  EXPECT_THAT(message, HasSubstr("at step"));
  EXPECT_THAT(read_file(options.out / "not_finite_batch.txt"), HasSubstr("a.tar#squares"));
}

TEST_F(DeviceRun, AnUpdateThatIsNotFiniteIsNotMade) {
  const auto recipe = recipes()[1];
  Cloc model = model_of(recipe);
  Batch batch = batch_of(recipe);
  batch.pixels[0][0][0][0] = std::numeric_limits<float>::quiet_NaN();
  model->set_backend(Backend::kTorch);
  const BackendScope scope(Backend::kTorch);
  AdamW optimizer(all_weights(model), {});
  std::vector<torch::Tensor> before;
  for (const auto& [name, weight] : all_weights(model)) before.push_back(weight.detach().clone());
  const auto objective = find_objective("cloc")->make(model, {});
  const auto result = forward_backward(*objective, batch, {.late = true});
  EXPECT_FALSE(std::isfinite(result.late_loss.item<double>()));
  optimizer.late_step(1e-3, optimizer.late_grad_norm());
  const auto after = all_weights(model);
  for (size_t i = 0; i < before.size(); ++i)
    EXPECT_TRUE(torch::equal(after[i].second, before[i])) << after[i].first;
}

}  // namespace
}  // namespace opencloc

// A schedule of image sizes: steps at another size than the model's against a model of that size,
// and runs that keep what runs promise across the switch.
#include <functional>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/model/clip/positions.h"
#include "opencloc/model/clip/resize.h"
#include "opencloc/train/metrics_log.h"
#include "opencloc/train/step.h"
#include "tests/train/random_batch.h"
#include "tests/train/tiny_run.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

Cloc scheduled_model() {
  torch::manual_seed(5);
  return Cloc(load_model_config("ViT-Test"));
}

Batch small_batch() {
  Batch batch = fixtures::random_batch(7, {0, 0, 1, 3, 3, 3, 6});
  batch.pixels = torch::randn({7, 3, 16, 16});
  return batch;
}

struct SizedStep {
  double loss = 0;
  std::map<std::string, torch::Tensor> gradients;
};

SizedStep sized_step(Cloc model, const char* name, int64_t accum_freq = 1) {
  const auto objective = find_objective(name)->make(model, {});
  SizedStep step;
  step.loss = forward_backward(*objective, small_batch(), {.accum_freq = accum_freq}).loss;
  for (const auto& item : model->named_parameters())
    if (item.value().grad().defined()) step.gradients[item.key()] = item.value().grad().clone();
  return step;
}

void expect_near_sized(const torch::Tensor& got, const torch::Tensor& want,
                       const std::string& what) {
  const double scale = std::max(1e-5, want.abs().max().item<double>());
  EXPECT_LT((got - want).abs().max().item<double>(), 5e-4 * scale) << what;
}

TEST(ImageSizeSchedule, AStepOfSmallPicturesIsThatOfAModelOfTheirSize) {
  constexpr const char* kPositions = "visual.positional_embedding";
  for (const char* name : {"clip", "cloc"}) {
    const auto step = sized_step(scheduled_model(), name);
    const auto wanted = sized_step(with_image_size(scheduled_model(), 16), name);
    EXPECT_NEAR(step.loss, wanted.loss, 1e-5);
    ASSERT_EQ(step.gradients.size(), wanted.gradients.size());
    for (const auto& [key, gradient] : wanted.gradients) {
      if (key != kPositions) expect_near_sized(step.gradients.at(key), gradient, key);
    }
    // Of the positions, what the interpolation passes back.
    auto positions = scheduled_model()->named_parameters()[kPositions].detach().requires_grad_();
    (resize_positions(positions, 2) * wanted.gradients.at(kPositions)).sum().backward();
    expect_near_sized(step.gradients.at(kPositions), positions.grad(), kPositions);
    for (const int64_t parts : {2, 7}) {
      const auto pieces = sized_step(scheduled_model(), name, parts);
      EXPECT_NEAR(pieces.loss, step.loss, 1e-5);
      for (const auto& [key, gradient] : step.gradients)
        expect_near_sized(pieces.gradients.at(key), gradient, key);
    }
  }
}

TEST(ImageSizeSchedule, IsReadFromASizeAndAShare) {
  const auto schedule = parse_image_size_schedule("48:0.8");
  EXPECT_EQ(schedule.size, 48);
  EXPECT_EQ(schedule.share, 0.8);
  EXPECT_EQ(schedule.early_steps(600), 480);
  EXPECT_EQ(schedule.early_steps(3), 2);
  for (const char* wrong : {"", "48", "48:", ":0.8", "48:0.8:1", "48 :0.8", "48:x", "4.5:0.8"})
    EXPECT_THROW(parse_image_size_schedule(wrong), Error) << wrong;
}

class ScheduledRun : public ::testing::Test {
 protected:
  ScheduledRun() { fixtures::write_squares(folder_ / "a.tar", 20); }
  TrainConfig config(const std::string& out) {
    TrainConfig config = fixtures::tiny_config(folder_ / "a.tar", folder_ / out);
    config.image_size_schedule = ImageSizeSchedule{16, 0.6};  // 5 of 8 steps
    return config;
  }
  fixtures::TempFolder folder_;
};

TEST_F(ScheduledRun, ResumesToTheSameEndBeforeAtAndAfterTheSwitch) {
  auto options = config("run");
  options.keep_checkpoints = 0;
  options.save_every = 1;
  options.accum_freq = 2;
  options.crop_distillation.weight = 0.5;
  options.crop_distillation.size = 24;
  options.objective_options.attention_weight = 0.1;
  options.objective_options.quality_weight = 0.5;
  options.objective_options.captioned_views = 2;
  options.sample.mosaic = 0.3;
  options.sample.point_prompts = 0.3;
  ::testing::internal::CaptureStderr();
  train(options);
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(said, HasSubstr("16 px in 5 of 8 steps, then 32 px"));
  EXPECT_THAT(said, HasSubstr("from step 1 on: pictures of 16 px"));
  EXPECT_THAT(said, HasSubstr("from step 6 on: pictures of 32 px"));
  const auto weights = fixtures::final_weights(folder_ / "run");
  const auto lines = read_metrics(folder_ / "run/metrics.jsonl");
  ASSERT_EQ(lines.size(), 8u);
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(lines[i].at("image_size"), i < 5 ? 16 : 32) << i;
  for (const int from : {4, 5, 6}) {
    for (int step = from + 1; step <= 8; ++step)
      fs::remove_all(folder_ / "run/checkpoints" / ("step-" + std::to_string(step)));
    fs::remove_all(folder_ / "run/model");
    train(options);
    EXPECT_EQ(fixtures::final_weights(folder_ / "run"), weights) << from;
  }
  options.out = folder_ / "workers";
  options.workers = 1;
  train(options);
  EXPECT_EQ(fixtures::final_weights(folder_ / "workers"), weights);
  Cloc model = load_model(folder_ / "run/model").model;
  EXPECT_EQ(model->config().vision.image_size, 32);
  EXPECT_EQ(model->config().encoding_grid(), 4);
}

// Each part of the run is that of a run with pictures of that size throughout.
TEST_F(ScheduledRun, ItsPartsAreThoseOfOneSize) {
  auto scheduled = config("scheduled");
  train(scheduled);
  const auto lines = read_metrics(folder_ / "scheduled/metrics.jsonl");
  auto small = config("small");
  small.image_size_schedule->share = 0.99;
  train(small);
  const auto of_small = read_metrics(folder_ / "small/metrics.jsonl");
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(lines[i]["loss"], of_small[i]["loss"]) << i;
  EXPECT_NE(lines[5]["loss"], of_small[5]["loss"]);
  auto large = config("large");
  large.image_size_schedule.reset();
  train(large);
  const auto of_large = read_metrics(folder_ / "large/metrics.jsonl");
  EXPECT_NE(lines[0]["loss"], of_large[0]["loss"]);
  EXPECT_FALSE(of_large[0].contains("image_size"));
  auto none = config("none");
  none.image_size_schedule->share = 0.01;  // no step of 8
  train(none);
  EXPECT_EQ(fixtures::final_weights(folder_ / "none"), fixtures::final_weights(folder_ / "large"));
}

TEST_F(ScheduledRun, AModelBeginsAtAnotherSize) {
  auto first = config("first");
  first.image_size_schedule.reset();
  first.image_size = 48;
  train(first);
  EXPECT_EQ(load_model(folder_ / "first/model").model->config().vision.image_size, 48);
  // With a region part of its own: places keep their encodings.
  auto again = config("again");
  again.init = (folder_ / "first/model").string();
  again.image_size = 64;
  train(again);
  const auto model = load_model(folder_ / "again/model").model;
  EXPECT_EQ(model->config().vision.image_size, 64);
  EXPECT_EQ(model->config().encoding_grid(), 6);
  // A new region part has those of the size that it is trained at.
  auto clip = config("clip");
  clip.objective = find_objective("clip");
  train(clip);
  again = config("new");
  again.init = (folder_ / "clip/model").string();
  again.image_size = 64;
  again.steps = 1;
  again.lr = 1e-9;
  train(again);
  const auto larger = load_model(folder_ / "new/model").model;
  EXPECT_EQ(larger->config().encoding_grid(), 8);
  const auto before = with_image_size(load_model(folder_ / "clip/model").model, 64);
  const auto now = larger->named_parameters();
  for (const auto& [name, weight] : before->clip_weights()) {
    if (!name.starts_with("visual.")) continue;
    EXPECT_LT((now[name] - weight).abs().max().item<float>(), 1e-6f) << name;
  }
}

TEST_F(ScheduledRun, MeaninglessOptionsAreErrors) {
  const auto error_of = [&](const std::function<void(TrainConfig&)>& change) {
    auto options = config("wrong");
    change(options);
    return fixtures::error_of_run(options);
  };
  EXPECT_THAT(error_of([](auto& c) { c.image_size_schedule->size = 12; }),
              HasSubstr("image size 12 is no multiple of 8"));
  EXPECT_THAT(error_of([](auto& c) { c.image_size_schedule->size = 32; }),
              HasSubstr("32 px are not fewer than the model's 32"));
  EXPECT_THAT(error_of([](auto& c) { c.image_size_schedule->share = 1; }),
              HasSubstr("not between 0 and 1"));
  EXPECT_THAT(error_of([](auto& c) { c.distillation.weight = 1; }),
              HasSubstr("'image_size_schedule'"));
  EXPECT_THAT(error_of([](auto& c) { c.self_supervision.mae_weight = 1; }),
              HasSubstr("'image_size_schedule'"));
  EXPECT_THAT(error_of([](auto& c) { c.image_size = 20; }),
              HasSubstr("image size 20 is no multiple of 8, setting 'image_size'"));
}

}  // namespace
}  // namespace opencloc

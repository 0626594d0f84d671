// Two captioned views: L_CLIP is the mean of both views' own, whatever the pieces.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/train/metrics_log.h"
#include "opencloc/train/step.h"
#include "tests/train/random_batch.h"
#include "tests/train/tiny_run.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

struct ViewStep {
  double clip = 0;
  std::map<std::string, torch::Tensor> gradients;
};

ViewStep view_step(const Batch& batch, const char* name, const ObjectiveOptions& options,
                   int64_t parts = 1) {
  torch::manual_seed(5);
  const Cloc model(load_model_config("ViT-Test"));
  const auto objective = find_objective(name)->make(model, options);
  const StepResult result = forward_backward(*objective, batch, {.accum_freq = parts});
  ViewStep step{result.figures.at("loss_clip"), {}};
  for (const auto& item : model->named_parameters()) {
    if (item.value().grad().defined()) step.gradients[item.key()] = item.value().grad().clone();
  }
  return step;
}

void expect_close(const torch::Tensor& got, const torch::Tensor& wanted, const std::string& name) {
  const double scale = std::max(1e-2, wanted.abs().max().item<double>());
  EXPECT_LE((got - wanted).abs().max().item<double>(), 1e-4 * scale) << name;
}

Batch batch_of_two_views() {
  Batch batch = fixtures::random_batch(6, {0, 0, 1, 3});
  batch.has_text = torch::tensor({true, true, false, true, true, true});
  batch.captioned_view = torch::randn_like(batch.pixels);
  return batch;
}

TEST(CaptionedViews, TheLossIsTheMeanOfBothViews) {
  const Batch both = batch_of_two_views();
  Batch second = both;
  second.pixels = both.captioned_view;
  ObjectiveOptions two;
  two.captioned_views = 2;
  const ViewStep got = view_step(both, "clip", two);
  const ViewStep a = view_step(both, "clip", {}), b = view_step(second, "clip", {});
  EXPECT_NEAR(got.clip, 0.5 * (a.clip + b.clip), 1e-5);
  EXPECT_NE(a.clip, b.clip);
  for (const auto& [name, gradient] : a.gradients)
    expect_close(got.gradients.at(name), 0.5 * (gradient + b.gradients.at(name)), name);
}

TEST(CaptionedViews, PiecesAreTheWholeBatch) {
  const Batch batch = batch_of_two_views();
  ObjectiveOptions two;
  two.captioned_views = 2;
  for (const char* name : {"clip", "cloc"}) {
    const ViewStep whole = view_step(batch, name, two);
    const ViewStep parts = view_step(batch, name, two, 4);
    EXPECT_NEAR(parts.clip, whole.clip, 1e-5);
    ASSERT_EQ(parts.gradients.size(), whole.gradients.size());
    for (const auto& [weight, gradient] : whole.gradients)
      expect_close(parts.gradients.at(weight), gradient, weight);
  }
}

// Dropped patches: other ones of the order than a masked pass sees, padding last.
TEST(CaptionedViews, DroppedPatchesAreNotThePadding) {
  Batch batch = fixtures::random_batch(2, {});
  batch.patch_order = torch::rand({2, 16});
  batch.patch_order.slice(1, 8) = 2;
  ObjectiveOptions dropout;
  dropout.patch_dropout = 0.5;
  const ViewStep before = view_step(batch, "clip", dropout);
  batch.pixels.slice(2, 16) += 1;  // the lower half, which is padding
  EXPECT_EQ(view_step(batch, "clip", dropout).clip, before.clip);
}

TEST(CaptionedViews, TrainAndAreRefused) {
  const fs::path folder =
      fs::path(testing::TempDir()) / ("opencloc-views-" + std::to_string(getpid()));
  fs::create_directories(folder);
  fixtures::write_squares(folder / "a.tar", 40);
  TrainConfig one = fixtures::tiny_config(folder / "*.tar", folder / "one");
  one.objective = find_objective("clip");
  TrainConfig two = one;
  two.out = folder / "two";
  two.objective_options.captioned_views = 2;
  EXPECT_NE(train(two).loss, train(one).loss);
  // The first view, and all else of a sample, is drawn as without the second.
  const auto first = [&](const char* run) {
    return read_metrics(folder / run / "metrics.jsonl")[0]["captioned"].get<int64_t>();
  };
  EXPECT_EQ(first("one"), first("two"));

  two.out = folder / "wrong";
  two.objective_options.captioned_views = 3;
  const auto said = [&] {
    try {
      train(two);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_THAT(said(), HasSubstr("setting 'captioned_views'"));
  two.objective_options.captioned_views = 2;
  two.objective = find_objective("coca");
  EXPECT_THAT(said(), HasSubstr("setting 'captioned_views'"));
  fs::remove_all(folder);
}

}  // namespace
}  // namespace opencloc

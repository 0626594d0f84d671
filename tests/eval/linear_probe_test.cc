#include "opencloc/eval/linear_probe.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/kernels/parallel.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

// Rows around their class's place, `noise` away from it.
LabelledRows clusters(int64_t count, double noise) {
  const auto targets = torch::arange(count) % 3;
  auto features = noise * torch::randn({count, 6});
  features += torch::one_hot(targets, 6);
  return {features, targets, 3};
}

TEST(LinearProbe, TellsClustersApart) {
  torch::manual_seed(20);
  const Json figures = linear_probe_figures(clusters(150, 0.1), clusters(60, 0.1));
  EXPECT_EQ(figures["acc1"], 1.0);
  EXPECT_EQ(figures["acc1_error"], 0.0);
  EXPECT_EQ(figures["mean_per_class_recall"], 1.0);
  EXPECT_EQ(figures["held_back_acc1"], 1.0);
  EXPECT_EQ(figures["held_back"], 30);
  EXPECT_EQ(figures["n_train"], 150);
  EXPECT_EQ(figures["n"], 60);
  EXPECT_EQ(figures["converged"], true);
}

TEST(LinearProbe, LearnsNothingFromNoise) {
  torch::manual_seed(21);
  auto learn = clusters(300, 0), test = clusters(600, 0);
  learn.features = torch::randn({300, 6});
  test.features = torch::randn({600, 6});
  const Json figures = linear_probe_figures(learn, test);
  const double accuracy = figures["acc1"];
  EXPECT_NEAR(accuracy, 1.0 / 3, 0.1);
  EXPECT_NEAR(figures["acc1_error"].get<double>(), std::sqrt(accuracy * (1 - accuracy) / 600),
              1e-12);
}

// Many columns of noise and few rows: a weak penalty learns the noise by heart.
TEST(LinearProbe, ThePenaltyIsChosenOnTheHeldBackRows) {
  torch::manual_seed(22);
  const auto noisy = [](int64_t count) {
    auto rows = clusters(count, 0.4);
    rows.features = torch::cat({rows.features, torch::randn({count, 200})}, 1);
    return rows;
  };
  const Json figures = linear_probe_figures(noisy(120), noisy(900));
  EXPECT_GE(figures["lambda"], 1e-2);
  EXPECT_GT(figures["acc1"], 0.5);
}

TEST(LinearProbe, TheFeaturesScaleDoesNotMatter) {
  torch::manual_seed(23);
  const auto learn = clusters(150, 0.6), test = clusters(300, 0.6);
  const auto stretch = [](const LabelledRows& rows) {
    return LabelledRows{rows.features * 64 + 5, rows.targets, rows.classes};
  };
  const Json plain = linear_probe_figures(learn, test);
  const Json stretched = linear_probe_figures(stretch(learn), stretch(test));
  EXPECT_EQ(stretched["lambda"], plain["lambda"]);
  EXPECT_NEAR(stretched["acc1"].get<double>(), plain["acc1"].get<double>(), 0.01);
}

TEST(LinearProbe, OnlyTheSeedDecides) {
  torch::manual_seed(24);
  const auto learn = clusters(90, 1.5), test = clusters(90, 1.5);
  const auto figures = [&](uint64_t seed, int threads) {
    const kernels::ThreadLimit limit(threads);
    return dump_json(linear_probe_figures(learn, test, {.seed = seed}));
  };
  const std::string expected = figures(0, 1);
  EXPECT_EQ(figures(0, 1), expected);
  EXPECT_EQ(figures(0, 2), expected);
  EXPECT_EQ(figures(0, 5), expected);
  bool differs = false;
  for (uint64_t seed = 1; seed < 6; ++seed) differs = differs || figures(seed, 1) != expected;
  EXPECT_TRUE(differs);
}

TEST(LinearProbe, ColumnsThatDoNotVaryAndClassesOfOneRow) {
  torch::manual_seed(25);
  auto learn = clusters(61, 0.1), test = clusters(30, 0.1);
  learn.features = torch::cat({learn.features, torch::full({61, 1}, 0.3)}, 1);
  test.features = torch::cat({test.features, torch::full({30, 1}, 7.0)}, 1);
  learn.classes = test.classes = 4;
  learn.targets[60] = 3;  // once
  const Json figures = linear_probe_figures(learn, test);
  EXPECT_EQ(figures["acc1"], 1.0);
  EXPECT_EQ(figures["held_back"], 12);
}

TEST(LinearProbe, NothingToChooseOnIsAnError) {
  const LabelledRows rows{torch::eye(3), torch::arange(3), 3};
  EXPECT_NE(fixtures::error_of([&] { linear_probe_figures(rows, rows); }).find("two samples"),
            std::string::npos);
}

TEST(LinearProbe, NotANumberIsAnError) {
  auto rows = clusters(30, 0.1);
  rows.features[4][2] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_NE(
      fixtures::error_of([&] { linear_probe_figures(rows, clusters(9, 0.1)); }, 1).find("finite"),
      std::string::npos);
}

}  // namespace
}  // namespace opencloc

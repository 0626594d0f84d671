#include <cmath>
#include <vector>

#include <gtest/gtest.h>
#include <torch/types.h>

#include "opencloc/loss/loss.h"

namespace opencloc {
namespace {

struct Result {
  double loss;
  torch::Tensor gradient;  // [R, 4]
};

Result evaluate(torch::Tensor predicted, const torch::Tensor& target, GroundingKind kind) {
  predicted = predicted.detach().clone().requires_grad_();
  const auto loss = grounding_loss(predicted, target, kind).loss;
  loss.backward();
  return {.loss = loss.item<double>(), .gradient = predicted.grad()};
}

TEST(GroundingL2, IsTheMeanOverRegionsAndCoordinates) {
  const auto predicted = torch::tensor({{0.1, 0.2, 0.5, 0.6}, {0.0, 0.0, 1.0, 1.0}});
  const auto target = torch::tensor({{0.1, 0.2, 0.5, 0.6}, {0.2, 0.0, 1.0, 0.6}});
  const auto got = evaluate(predicted, target, GroundingKind::kL2);
  EXPECT_NEAR(got.loss, (0.04 + 0.16) / 8, 1e-7);
  EXPECT_TRUE(torch::allclose(got.gradient, 2 * (predicted - target) / 8));
}

TEST(GroundingFigures, AreExactOnAHandMadeCase) {
  // IoU 1; IoU 0.25 (a quarter of the target); inverted in x: 0.
  const auto predicted =
      torch::tensor({{0.0, 0.0, 0.5, 0.5}, {0.0, 0.0, 0.5, 0.5}, {0.6, 0.0, 0.4, 1.0}});
  const auto target =
      torch::tensor({{0.0, 0.0, 0.5, 0.5}, {0.0, 0.0, 1.0, 1.0}, {0.4, 0.0, 0.6, 1.0}});
  const auto got = grounding_loss(predicted, target, GroundingKind::kL2);
  EXPECT_NEAR(got.mean_iou.item<double>(), 1.25 / 3, 1e-6);
  EXPECT_NEAR(got.inverted_share.item<double>(), 1.0 / 3, 1e-6);
  // Population deviations of (0, 0, 0.6), (0, 0, 0), (0.5, 0.5, 0.4), (0.5, 0.5, 1).
  const double spread = (0.6 + 0 + 0.1 + 0.5) * std::sqrt(2.0) / 3 / 4;
  EXPECT_NEAR(got.predicted_spread.item<double>(), spread, 1e-6);
}

TEST(GroundingGiou, IsDetrsOnOrderedBoxes) {
  // Disjoint unit quarters at opposite corners: IoU 0, hull 1, GIoU -(1 - 0.5) / 1.
  const auto predicted = torch::tensor({{0.0, 0.0, 0.5, 0.5}});
  const auto target = torch::tensor({{0.5, 0.5, 1.0, 1.0}});
  const auto got = evaluate(predicted, target, GroundingKind::kL1Giou);
  EXPECT_NEAR(got.loss, 5 * 2.0 + 2 * (1 + 0.5), 1e-5);
  EXPECT_NEAR(evaluate(target, target, GroundingKind::kL1Giou).loss, 0, 1e-6);
}

TEST(GroundingGiou, GradientAgreesWithFiniteDifferences) {
  const auto options = torch::kDouble;
  const auto target = torch::tensor({{0.2, 0.3, 0.6, 0.7}, {0.1, 0.1, 0.3, 0.9}}, options);
  // Overlapping, contained, disjoint, inverted in one axis, inverted in both.
  for (const auto& row : std::vector<std::vector<double>>{{0.32, 0.21, 0.8, 0.65},
                                                          {0.25, 0.35, 0.29, 0.6},
                                                          {0.71, 0.75, 0.92, 0.97},
                                                          {0.5, 0.2, 0.4, 0.65},
                                                          {0.8, 0.9, 0.35, 0.05}}) {
    const auto predicted = torch::tensor(row, options).expand({2, 4}).clone();
    const auto got = evaluate(predicted, target, GroundingKind::kL1Giou);
    constexpr double kStep = 1e-7;
    for (int64_t i = 0; i < 8; ++i) {
      auto moved = predicted.clone();
      moved.view(-1)[i] += kStep;
      const double above = evaluate(moved, target, GroundingKind::kL1Giou).loss;
      moved.view(-1)[i] -= 2 * kStep;
      const double below = evaluate(moved, target, GroundingKind::kL1Giou).loss;
      EXPECT_NEAR(got.gradient.view(-1)[i].item<double>(), (above - below) / (2 * kStep), 1e-5);
    }
  }
}

// From any corners, ordered or not, descent must arrive at the target.
TEST(GroundingGiou, DescentTurnsInvertedBoxesRound) {
  const auto target = torch::tensor({{0.3, 0.2, 0.7, 0.6}});
  for (const auto& start : std::vector<std::vector<double>>{{0.9, 0.9, 0.1, 0.1},
                                                            {0.6, 0.5, 0.4, 0.3},
                                                            {0.5, 0.5, 0.5, 0.5},
                                                            {0.8, 0.1, 0.75, 0.15},
                                                            {0.9, 0.9, 0.95, 0.95}}) {
    auto predicted = torch::tensor(start).unsqueeze(0).to(torch::kFloat);
    constexpr double kRate = 0.004;
    for (int step = 0; step < 400; ++step) {
      const auto got = evaluate(predicted, target, GroundingKind::kL1Giou);
      ASSERT_TRUE(got.gradient.isfinite().all().item<bool>());
      predicted = predicted - kRate * (1 - step / 400.0) * got.gradient;
    }
    EXPECT_GT(grounding_loss(predicted, target, GroundingKind::kL1Giou).mean_iou.item<double>(),
              0.9)
        << "started from " << start;
  }
}

// experiments.md point 5: an inverted box must never be the better answer.
TEST(GroundingGiou, InvertedBoxesCostMoreThanTheirOrderedTwins) {
  const auto target = torch::tensor({{0.3, 0.2, 0.7, 0.6}});
  const auto ordered = torch::tensor({{0.35, 0.25, 0.6, 0.5}});
  const auto inverted = torch::tensor({{0.6, 0.5, 0.35, 0.25}});
  EXPECT_GT(evaluate(inverted, target, GroundingKind::kL1Giou).loss,
            evaluate(ordered, target, GroundingKind::kL1Giou).loss + 1);
}

class GroundingEdge : public testing::TestWithParam<GroundingKind> {};

TEST_P(GroundingEdge, NoRegionsCostNothingAndStayInTheGraph) {
  const auto got = evaluate(torch::zeros({0, 4}), torch::zeros({0, 4}), GetParam());
  EXPECT_EQ(got.loss, 0);
  EXPECT_EQ(got.gradient.size(0), 0);
}

TEST_P(GroundingEdge, EmptyBoxesStayFinite) {
  const auto boxes = torch::full({3, 4}, 0.5);
  const auto got = evaluate(boxes, boxes, GetParam());
  EXPECT_TRUE(std::isfinite(got.loss));
  EXPECT_TRUE(got.gradient.isfinite().all().item<bool>());
}

INSTANTIATE_TEST_SUITE_P(Kinds, GroundingEdge,
                         testing::Values(GroundingKind::kL2, GroundingKind::kL1Giou));

}  // namespace
}  // namespace opencloc

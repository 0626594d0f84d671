#include <cmath>

#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/loss/loss.h"

namespace opencloc {
namespace {

TEST(QualityLoss, IsTheCrossEntropyWithTheTrueIou) {
  const auto logits = torch::tensor({-3.0, -0.5, 0.0, 2.0, 60.0, -60.0}, torch::kDouble);
  const auto iou = torch::tensor({0.1, 0.5, 0.9, 1.0, 0.75, 0.25}, torch::kDouble);
  double expected = 0;
  for (int64_t i = 0; i < 6; ++i) {
    const double x = logits[i].item<double>(), t = iou[i].item<double>();
    expected += t * std::log1p(std::exp(-x)) + (1 - t) * (x > 40 ? x : std::log1p(std::exp(x)));
  }
  const auto got = quality_loss(logits, iou);
  EXPECT_NEAR(got.loss.item<double>(), expected / 6, 1e-9);
  const auto error = (torch::sigmoid(logits) - iou).abs().mean();
  EXPECT_NEAR(got.error.item<double>(), error.item<double>(), 1e-12);
  const auto constant = (iou.mean() - iou).abs().mean();
  EXPECT_NEAR(got.constant_error.item<double>(), constant.item<double>(), 1e-12);
}

TEST(QualityLoss, PullsEveryPredictionToItsIou) {
  auto logits = torch::zeros({5}, torch::kDouble).requires_grad_();
  const auto iou = torch::tensor({0.05, 0.3, 0.5, 0.8, 0.97}, torch::kDouble);
  for (int i = 0; i < 4000; ++i) {
    logits.mutable_grad().reset();
    quality_loss(logits, iou).loss.backward();
    const torch::NoGradGuard no_grad;
    logits -= 5 * logits.grad();
  }
  EXPECT_LT((torch::sigmoid(logits) - iou).abs().max().item<double>(), 0.01);
  EXPECT_LT(quality_loss(logits, iou).error.item<double>(), 0.01);
  EXPECT_GT(quality_loss(logits, iou).constant_error.item<double>(), 0.25);
}

TEST(QualityLoss, IsZeroOfNothing) {
  auto logits = torch::zeros({0}).requires_grad_();
  const auto got = quality_loss(logits, torch::zeros({0}));
  EXPECT_EQ(got.loss.item<float>(), 0);
  EXPECT_FALSE(got.error.defined());
  got.loss.backward();
}

}  // namespace
}  // namespace opencloc

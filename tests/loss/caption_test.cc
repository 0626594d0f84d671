#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/loss/loss.h"

namespace opencloc {
namespace {

// The formula, and its gradient by hand: the likelihoods less the label, over n.
TEST(CaptionLoss, EqualsTheFormulaAndItsGradient) {
  torch::manual_seed(2);
  const int64_t n = 11, width = 5, vocabulary = 9;
  const auto doubles = torch::TensorOptions(torch::kDouble);
  const auto labels = torch::randint(0, vocabulary, {n}, torch::kLong);
  for (const int64_t chunk : {1, 4, 11, 1024}) {
    const auto hidden = torch::randn({n, width}, doubles).requires_grad_();
    const auto projection = torch::randn({width, vocabulary}, doubles).requires_grad_();
    const auto loss = caption_loss(hidden, projection, labels, chunk);
    (3 * loss).backward();

    const auto h = hidden.detach(), p = projection.detach();
    const auto likelihood = h.matmul(p).softmax(1);  // [n, V]
    const auto label = torch::zeros({n, vocabulary}, doubles).scatter_(1, labels.unsqueeze(1), 1);
    const auto expected = -(likelihood.log() * label).sum() / static_cast<double>(n);
    const auto g = 3 * (likelihood - label) / static_cast<double>(n);
    EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-12);
    EXPECT_LT((hidden.grad() - g.matmul(p.t())).abs().max().item<double>(), 1e-12);
    EXPECT_LT((projection.grad() - h.t().matmul(g)).abs().max().item<double>(), 1e-12);
  }
}

TEST(CaptionLoss, NoWordsCostNothing) {
  const auto hidden = torch::randn({0, 5}).requires_grad_();
  const auto projection = torch::randn({5, 9}).requires_grad_();
  const auto loss = caption_loss(hidden, projection, torch::zeros({0}, torch::kLong));
  loss.backward();
  EXPECT_EQ(loss.item<double>(), 0);
  EXPECT_EQ(projection.grad().abs().sum().item<double>(), 0);
}

TEST(CaptionLoss, HugeLogitsStayFinite) {
  const auto hidden = torch::full({2, 1}, 1e4F).requires_grad_();
  const auto projection = torch::tensor({{1.F, -1.F, 0.F}}).requires_grad_();
  const auto loss = caption_loss(hidden, projection, torch::tensor({0, 1}, torch::kLong));
  loss.backward();
  EXPECT_NEAR(loss.item<double>(), 1e4, 1);  // one right, one wrong by 2e4
  EXPECT_TRUE(projection.grad().isfinite().all().item<bool>());
}

}  // namespace
}  // namespace opencloc

#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/loss/loss.h"
#include "tests/loss/contrastive_fixture.h"
#include "tests/loss/plain_loss.h"

namespace opencloc {
namespace {

using ClipCase = std::tuple<int64_t, int64_t>;  // pairs, chunk

class ClipLoss : public testing::TestWithParam<ClipCase> {};

TEST_P(ClipLoss, EqualsTheWholeMatrix) {
  const auto [n, chunk] = GetParam();
  const auto pairs = make_pairs(n);
  const auto got = evaluate(pairs, [&, chunk = chunk] {
    return clip_loss(pairs.a, pairs.b, pairs.scale, {.chunk = chunk});
  });
  const auto want =
      evaluate(pairs, [&] { return plain::info_nce(pairs.a, pairs.b, pairs.scale, {}); });
  expect_close(got, want, 2e-6);
}

TEST_P(ClipLoss, ProcessesTogetherLoseWhatOneDoes) {
  const auto [n, chunk] = GetParam();
  const auto pairs = make_pairs(n, torch::kDouble);
  const auto loss = [&, chunk = chunk](const Pairs& share, dist::Group& group) {
    return clip_loss(share.a, share.b, share.scale, {.chunk = chunk, .group = &group});
  };
  const auto whole = evaluate(pairs, [&] { return loss(pairs, dist::alone()); });
  for (const auto& sizes : shares_of(n)) {
    SCOPED_TRACE(testing::PrintToString(sizes));
    expect_close(evaluate_shared(pairs, sizes, loss), whole, 1e-12);
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, ClipLoss,
                         testing::Combine(testing::Values(1, 2, 7, 130),
                                          testing::Values(1, 3, 1024)));

TEST(ClipLossGradient, AgreesWithFiniteDifferences) {
  const auto pairs = make_pairs(6, torch::kDouble, 5);
  const auto loss = [&] { return clip_loss(pairs.a, pairs.b, pairs.scale, {.chunk = 4}); };
  const auto got = evaluate(pairs, loss);
  const torch::NoGradGuard no_grad;
  constexpr double kStep = 1e-6;
  const auto check = [&](const torch::Tensor& leaf, const torch::Tensor& gradient) {
    auto flat = leaf.view(-1);
    for (int64_t i = 0; i < flat.numel(); ++i) {
      const double middle = flat[i].item<double>();
      flat[i] = middle + kStep;
      const double above = loss().item<double>();
      flat[i] = middle - kStep;
      const double below = loss().item<double>();
      flat[i] = middle;
      ASSERT_NEAR(gradient.view(-1)[i].item<double>(), (above - below) / (2 * kStep), 1e-8);
    }
  };
  check(pairs.a, got.a);
  check(pairs.b, got.b);
  check(pairs.scale, got.scale);
}

TEST(ClipLossGradient, IsScaledByWhatComesFromAbove) {
  const auto pairs = make_pairs(5, torch::kDouble);
  const auto one = evaluate(pairs, [&] { return clip_loss(pairs.a, pairs.b, pairs.scale); });
  const auto three = evaluate(pairs, [&] { return 3 * clip_loss(pairs.a, pairs.b, pairs.scale); });
  EXPECT_TRUE(torch::allclose(three.a, 3 * one.a));
  EXPECT_TRUE(torch::allclose(three.b, 3 * one.b));
  EXPECT_TRUE(torch::allclose(three.scale, 3 * one.scale));
}

TEST(ClipLossEdge, NoPairsCostNothingAndStayInTheGraph) {
  const auto pairs = make_pairs(0);
  const auto got = evaluate(pairs, [&] { return clip_loss(pairs.a, pairs.b, pairs.scale); });
  EXPECT_EQ(got.loss.item<float>(), 0);
  EXPECT_EQ(got.a.sizes(), pairs.a.sizes());
  EXPECT_EQ(got.scale.item<float>(), 0);
}

TEST(ClipLossEdge, OnePairHasNoNegatives) {
  const auto pairs = make_pairs(1);
  const auto got = evaluate(pairs, [&] { return clip_loss(pairs.a, pairs.b, pairs.scale); });
  EXPECT_EQ(got.loss.item<float>(), 0);
  EXPECT_EQ(got.a.abs().max().item<float>(), 0);
}

// Above the cap the loss is that of scale 100, and so is the scale's gradient.
TEST(ClipLossScale, IsCappedAtAHundred) {
  auto pairs = make_pairs(7);
  pairs.scale = torch::tensor(6.0f).requires_grad_();  // e^6 = 403
  const auto capped = evaluate(pairs, [&] { return clip_loss(pairs.a, pairs.b, pairs.scale); });
  const auto at_cap = torch::tensor(std::log(100.0f));
  EXPECT_NEAR(capped.loss.item<double>(), clip_loss(pairs.a, pairs.b, at_cap).item<double>(), 1e-4);
  // Random pairs: most negatives lie nearer than the positive, so a lower scale is better.
  EXPECT_GT(capped.scale.item<float>(), 0);
}

// Whether it may grow is decided where the gradients of all processes are added (train/step.h).
TEST(ClipLossScale, GradientPassesTheCap) {
  auto pairs = make_pairs(7);
  pairs.scale = torch::tensor(4.7f).requires_grad_();  // e^4.7 = 110
  // Orthonormal pairs that match: a higher scale would lower the loss.
  pairs.a = torch::eye(7, 12).requires_grad_();
  pairs.b = (torch::eye(7, 12) * 0.05 + 0.01).requires_grad_();
  const auto got = evaluate(pairs, [&] { return clip_loss(pairs.a, pairs.b, pairs.scale); });
  const auto below =
      evaluate(pairs, [&] { return plain::info_nce(pairs.a, pairs.b, pairs.scale - 1.0, {}); });
  ASSERT_LT(below.scale.item<float>(), 0);  // descent would raise it
  EXPECT_LT(got.scale.item<float>(), 0);
}

TEST(ClipLossScale, StaysFiniteAtTheCapWithOpposedPairs) {
  auto pairs = make_pairs(4);
  pairs.scale = torch::tensor(20.0f).requires_grad_();
  pairs.b = (-pairs.a.detach()).requires_grad_();
  const auto got = evaluate(pairs, [&] { return clip_loss(pairs.a, pairs.b, pairs.scale); });
  EXPECT_TRUE(std::isfinite(got.loss.item<float>()));
  EXPECT_TRUE(got.a.isfinite().all().item<bool>());
}

TEST(ClipLossChecks, RefusesWhatAreNoPairs) {
  const auto pairs = make_pairs(4);
  EXPECT_THROW(clip_loss(pairs.a, pairs.b, pairs.scale, {.chunk = 0}), c10::Error);
  EXPECT_THROW(clip_loss(pairs.a, pairs.b.slice(0, 0, 3), pairs.scale), c10::Error);
}

}  // namespace
}  // namespace opencloc

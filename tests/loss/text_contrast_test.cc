#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/loss/loss.h"
#include "tests/loss/contrastive_fixture.h"

namespace opencloc {
namespace {

constexpr double kThreshold = 0.95;

// The formula over the distinct texts, written out: every pair by a loop.
torch::Tensor plain_text_contrast(const torch::Tensor& texts, const torch::Tensor& text_id,
                                  const torch::Tensor& log_scale, double threshold) {
  std::vector<torch::Tensor> distinct;
  for (int64_t i = 0; i < texts.size(0); ++i) {
    bool seen = false;
    for (int64_t j = 0; j < i; ++j) seen = seen || text_id[i].equal(text_id[j]);
    if (!seen) distinct.push_back(texts[i]);
  }
  const auto scale = log_scale.detach().exp().clamp_max(100);
  auto sum = 0 * texts.sum();
  for (size_t i = 0; i < distinct.size(); ++i) {
    std::vector<torch::Tensor> terms;
    for (size_t j = 0; j < distinct.size(); ++j) {
      const auto cosine = distinct[i].dot(distinct[j]);
      if (j != i && cosine.item<double>() <= threshold) terms.push_back(scale * cosine);
    }
    if (!terms.empty()) sum = sum + torch::stack(terms).logsumexp(0);
  }
  return sum / static_cast<double>(std::max<size_t>(distinct.size(), 1));
}

Evaluated evaluate_texts(const Pairs& pairs, const std::function<torch::Tensor()>& loss) {
  // `a` and the scale take no part: their gradients are 0 by this.
  return evaluate(pairs, [&] { return loss() + 0 * (pairs.a.sum() + pairs.scale); });
}

using TextCase = std::tuple<int64_t, int64_t, double>;  // texts, chunk, threshold
class TextContrastTest : public testing::TestWithParam<TextCase> {};

TEST_P(TextContrastTest, ValueAndGradientEqualTheFormula) {
  const auto [n, chunk, threshold] = GetParam();
  const auto pairs = make_pairs(n, torch::kDouble);
  const auto got = evaluate_texts(pairs, [&, chunk = chunk, threshold = threshold] {
    return text_contrast_loss(pairs.b, pairs.text_id, pairs.scale, threshold, {.chunk = chunk})
        .loss;
  });
  const auto want = evaluate_texts(pairs, [&, threshold = threshold] {
    return plain_text_contrast(pairs.b, pairs.text_id, pairs.scale, threshold);
  });
  expect_close(got, want, 1e-10);
}

TEST_P(TextContrastTest, ProcessesTogetherLoseWhatOneDoes) {
  const auto [n, chunk, threshold] = GetParam();
  const auto pairs = make_pairs(n, torch::kDouble);
  const auto loss = [&, chunk = chunk, threshold = threshold](const Pairs& share,
                                                              dist::Group& group) {
    const auto contrast = text_contrast_loss(share.b, share.text_id, share.scale, threshold,
                                             {.chunk = chunk, .group = &group});
    return contrast.loss + 0 * (share.a.sum() + share.scale);
  };
  const auto whole = evaluate(pairs, [&] { return loss(pairs, dist::alone()); });
  for (const auto& sizes : shares_of(n)) {
    SCOPED_TRACE(testing::PrintToString(sizes));
    expect_close(evaluate_shared(pairs, sizes, loss), whole, 1e-12);
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, TextContrastTest,
                         testing::Combine(testing::Values(0, 1, 2, 7, 40),
                                          testing::Values(1, 3, 1024),
                                          testing::Values(0.8, kThreshold, 1.0)));

TEST(TextContrast, F32IsTheSame) {
  const auto pairs = make_pairs(60);
  expect_close(
      evaluate_texts(
          pairs,
          [&] { return text_contrast_loss(pairs.b, pairs.text_id, pairs.scale, kThreshold).loss; }),
      evaluate_texts(
          pairs,
          [&] { return plain_text_contrast(pairs.b, pairs.text_id, pairs.scale, kThreshold); }),
      1e-5);
}

// "red car" twice (id 0), "red bus" (1) with cosine 0.96 to it, "tree" (2): three distinct texts,
// six ordered pairs, two of them above 0.95.
TEST(TextContrast, IsExactOnAHandMadeCase) {
  const auto texts = torch::tensor({{1.0, 0.0}, {1.0, 0.0}, {0.96, 0.28}, {0.0, 1.0}});
  const auto id = torch::tensor({0, 0, 1, 2}, torch::kLong);
  const auto log_scale = torch::tensor(std::log(2.0));
  const auto contrast = text_contrast_loss(texts, id, log_scale, kThreshold);
  EXPECT_EQ(contrast.pairs, 6);
  EXPECT_DOUBLE_EQ(contrast.left_out_share.item<double>(), 2.0 / 6);
  // car: exp(0); bus: exp(2 * 0.28); tree: exp(0) + exp(2 * 0.28).
  EXPECT_NEAR(contrast.loss.item<double>(), (0 + 0.56 + std::log(1 + std::exp(0.56))) / 3, 1e-6);
}

// A step against the gradient moves texts apart: what the loss is for.
TEST(TextContrast, PushesTextsApart) {
  const auto pairs = make_pairs(12, torch::kDouble);
  const auto distinct = torch::arange(12);
  const auto mean_cosine = [](const torch::Tensor& texts) {
    return (texts.matmul(texts.t()).sum() - 12).item<double>() / (12 * 11);
  };
  const auto raw = torch::randn({12, 12}, torch::kDouble) + 1.0;
  const auto leaf = raw.clone().requires_grad_();
  text_contrast_loss(leaf / leaf.norm(2, 1, true), distinct, pairs.scale, 1).loss.backward();
  const auto moved = raw - 0.1 * leaf.grad();
  EXPECT_LT(mean_cosine(moved / moved.norm(2, 1, true)), mean_cosine(raw / raw.norm(2, 1, true)));
}

}  // namespace
}  // namespace opencloc

#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/utils.h>

#include "opencloc/loss/loss.h"
#include "tests/loss/contrastive_fixture.h"
#include "tests/loss/plain_loss.h"

namespace opencloc {
namespace {

torch::Tensor unit_rows(int64_t n) {
  const auto x = torch::randn({n, 12}, torch::kDouble);
  return (x / x.norm(2, 1, true)).requires_grad_();
}

TEST(HardNegatives, ValueAndGradientEqualTheFormula) {
  torch::manual_seed(3);
  const auto regions = unit_rows(5), texts = unit_rows(5), negatives = unit_rows(6);
  const auto of = torch::tensor({1, 1, 1, 2, 4, 4}, torch::kInt64);  // 0 and 3 have none
  const auto log_scale = torch::tensor(1.3, torch::kDouble).requires_grad_();
  const auto got = hard_negative_loss(regions, texts, negatives, of, log_scale);
  auto wanted = torch::zeros({}, torch::kDouble);
  int64_t right = 0;
  for (const int64_t i : {1, 2, 4}) {
    const auto own = log_scale.exp() * regions[i].dot(texts[i]);
    auto sum = own.exp();
    bool nearest = true;
    for (int64_t h = 0; h < of.size(0); ++h) {
      if (of[h].item<int64_t>() != i) continue;
      const auto wrong = log_scale.exp() * regions[i].dot(negatives[h]);
      sum = sum + wrong.exp();
      nearest = nearest && wrong.item<double>() < own.item<double>();
    }
    right += nearest;
    wanted = wanted - (own.exp() / sum).log() / 3;
  }
  EXPECT_EQ(got.regions, 3);
  EXPECT_NEAR(got.loss.item<double>(), wanted.item<double>(), 1e-12);
  EXPECT_NEAR(got.accuracy.item<double>(), static_cast<double>(right) / 3, 1e-12);
  const std::vector<torch::Tensor> inputs = {regions, texts, negatives, log_scale};
  const auto gradient = torch::autograd::grad({got.loss}, inputs),
             by_hand = torch::autograd::grad({wanted}, inputs);
  for (size_t i = 0; i < inputs.size(); ++i)
    EXPECT_TRUE(torch::allclose(gradient[i], by_hand[i], 1e-10, 1e-12)) << i;

  const auto none =
      hard_negative_loss(regions, texts, negatives.slice(0, 0, 0), of.slice(0, 0, 0), log_scale);
  EXPECT_EQ(none.loss.item<double>(), 0);
  EXPECT_EQ(none.regions, 0);
}

// sum_i w_i (cross-entropies of pair i) over 2 sum_i w_i, every pair a full negative of the others.
torch::Tensor weighted_info_nce(const Pairs& pairs, const torch::Tensor& weight) {
  const auto excluded = plain::excluded_pairs(pairs.b, pairs.text_id, /*threshold=*/2);
  const auto s = (pairs.scale.exp().clamp_max(100) * pairs.a.matmul(pairs.b.t()))
                     .masked_fill(excluded, -std::numeric_limits<double>::infinity());
  const auto per_pair = torch::logsumexp(s, 1) + torch::logsumexp(s, 0) - 2 * s.diagonal();
  return (weight * per_pair).sum() / (2 * weight.sum());
}

// F64 goes by strips, F32 by tiles.
class WeightedRegions : public testing::TestWithParam<std::tuple<int64_t, torch::ScalarType>> {};

TEST_P(WeightedRegions, EqualTheFormulaAloneAndTogether) {
  const auto [n, type] = GetParam();
  const auto pairs = make_pairs(n, type);
  const auto weight = torch::rand({n}, torch::kDouble).to(type) + 0.01;
  const double tolerance = type == torch::kDouble ? 1e-11 : 3e-6;
  const auto loss = [&](const Pairs& share, dist::Group& group) {
    ContrastiveOptions options{.chunk = 16, .group = &group};
    const auto sizes = group.gather(torch::full({1}, share.a.size(0), torch::kInt64)).rows;
    const auto first = sizes.slice(0, 0, group.rank()).sum().item<int64_t>();
    options.weight = weight.slice(0, first, first + share.a.size(0));
    return region_loss(share.a, share.b, share.text_id, share.scale, {}, options).loss;
  };
  const auto want = evaluate(pairs, [&] { return weighted_info_nce(pairs, weight); });
  expect_close(evaluate(pairs, [&] { return loss(pairs, dist::alone()); }), want, tolerance);
  for (const auto& sizes : shares_of(n)) {
    SCOPED_TRACE(testing::PrintToString(sizes));
    expect_close(evaluate_shared(pairs, sizes, loss), want, tolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, WeightedRegions,
                         testing::Combine(testing::Values(1, 7, 40),
                                          testing::Values(torch::kDouble, torch::kFloat)));

TEST(WeightedBoxes, AreTheWeightedMean) {
  torch::manual_seed(2);
  const auto corner = torch::rand({6, 2}, torch::kDouble) * 0.5;
  const auto target = torch::cat({corner, corner + 0.3}, 1);
  const auto predicted = (target + 0.1 * torch::rand({6, 4}, torch::kDouble)).requires_grad_();
  const auto weight = torch::rand({6}, torch::kDouble);
  for (const auto kind : {GroundingKind::kL2, GroundingKind::kL1Giou}) {
    auto wanted = torch::zeros({}, torch::kDouble);
    for (int64_t i = 0; i < 6; ++i) {
      const auto one = [&](const torch::Tensor& t) { return t.slice(0, i, i + 1); };
      wanted = wanted + weight[i] * grounding_loss(one(predicted), one(target), kind).loss / 6;
    }
    const auto got = grounding_loss(predicted, target, kind, weight).loss;
    EXPECT_NEAR(got.item<double>(), wanted.item<double>(), 1e-12);
    EXPECT_TRUE(torch::allclose(torch::autograd::grad({got}, {predicted})[0],
                                torch::autograd::grad({wanted}, {predicted})[0], 1e-10, 1e-12));
  }
}

}  // namespace
}  // namespace opencloc

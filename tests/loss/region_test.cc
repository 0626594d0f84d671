#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/loss/loss.h"
#include "opencloc/loss/pair_filter.h"
#include "tests/loss/contrastive_fixture.h"
#include "tests/loss/plain_loss.h"

namespace opencloc {
namespace {

constexpr double kOnlyIdentical = 2;  // a cosine no pair reaches

using RegionCase = std::tuple<int64_t, int64_t, bool>;  // regions, chunk, similarity test

class RegionLossTest : public testing::TestWithParam<RegionCase> {};

TEST_P(RegionLossTest, EqualsTheWholeMatrix) {
  const auto [n, chunk, test] = GetParam();
  const auto pairs = make_pairs(n, torch::kDouble);
  const TextFilter filter{.similarity_test = test, .threshold = 0.9};
  const auto got = evaluate(pairs, [&, chunk = chunk] {
    return region_loss(pairs.a, pairs.b, pairs.text_id, pairs.scale, filter, {.chunk = chunk}).loss;
  });
  const auto excluded =
      plain::excluded_pairs(pairs.b, pairs.text_id, test ? filter.threshold : kOnlyIdentical);
  const auto want =
      evaluate(pairs, [&] { return plain::info_nce(pairs.a, pairs.b, pairs.scale, excluded); });
  expect_close(got, want, 1e-11);
}

TEST_P(RegionLossTest, ProcessesTogetherLoseWhatOneDoes) {
  const auto [n, chunk, test] = GetParam();
  const auto pairs = make_pairs(n, torch::kDouble);
  const TextFilter filter{.similarity_test = test, .threshold = 0.9};
  const auto loss = [&, chunk = chunk](const Pairs& share, dist::Group& group) {
    return region_loss(share.a, share.b, share.text_id, share.scale, filter,
                       {.chunk = chunk, .group = &group})
        .loss;
  };
  const auto whole = evaluate(pairs, [&] { return loss(pairs, dist::alone()); });
  for (const auto& sizes : shares_of(n)) {
    SCOPED_TRACE(testing::PrintToString(sizes));
    expect_close(evaluate_shared(pairs, sizes, loss), whole, 1e-12);
  }
}

// What the filter's schedule looks at is the same number, however the regions are shared.
TEST_P(RegionLossTest, ProcessesTogetherCountWhatOneDoes) {
  const auto [n, chunk, test] = GetParam();
  const auto pairs = make_pairs(n, torch::kDouble);
  const TextFilter filter{.similarity_test = test, .threshold = 0.9};
  const auto whole = region_loss(pairs.a, pairs.b, pairs.text_id, pairs.scale, filter);
  for (const auto& sizes : shares_of(n)) {
    std::vector<RegionLoss> of_ranks(sizes.size());
    evaluate_shared(pairs, sizes, [&](const Pairs& share, dist::Group& group) {
      auto& loss = of_ranks[static_cast<size_t>(group.rank())];
      loss = region_loss(share.a, share.b, share.text_id, share.scale, filter, {.group = &group});
      return loss.loss;
    });
    double removed = 0, similar = 0, pairs_of_all = 0, distinct = 0;
    for (const auto& rank : of_ranks) {
      removed += rank.removed_share.item<double>() * rank.pairs;
      similar += rank.similar_share.item<double>() * rank.distinct_pairs;
      pairs_of_all += rank.pairs;
      distinct += rank.distinct_pairs;
    }
    EXPECT_EQ(pairs_of_all, whole.pairs);
    EXPECT_EQ(distinct, whole.distinct_pairs);
    EXPECT_NEAR(removed, whole.removed_share.item<double>() * whole.pairs, 1e-9);
    EXPECT_NEAR(similar, whole.similar_share.item<double>() * whole.distinct_pairs, 1e-9);
  }
}

// The cases must tell the filters apart: with the test open, pairs of distinct texts leave too.
TEST_P(RegionLossTest, CountsEqualTheWholeMatrix) {
  const auto [n, chunk, test] = GetParam();
  const auto pairs = make_pairs(n, torch::kDouble);
  const auto got = region_loss(pairs.a, pairs.b, pairs.text_id, pairs.scale,
                               {.similarity_test = test, .threshold = 0.9}, {.chunk = chunk});
  const auto count = [&](double threshold) {
    return plain::excluded_pairs(pairs.b, pairs.text_id, threshold).sum().item<double>();
  };
  const double off_diagonal = static_cast<double>(n * (n - 1));
  const double same = count(kOnlyIdentical), either = count(0.9);
  const auto share = [](double part, double whole) { return whole > 0 ? part / whole : 0; };
  EXPECT_DOUBLE_EQ(got.removed_share.item<double>(), share(test ? either : same, off_diagonal));
  EXPECT_DOUBLE_EQ(got.similar_share.item<double>(), share(either - same, off_diagonal - same));
  if (n == 130) {
    EXPECT_GT(got.similar_share.item<double>(), 0.05);
    EXPECT_LT(got.similar_share.item<double>(), 0.95);
    EXPECT_GT(got.removed_share.item<double>(), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, RegionLossTest,
                         testing::Combine(testing::Values(1, 2, 7, 130),
                                          testing::Values(1, 3, 1024), testing::Bool()));

// F32 goes by tiles: sizes beside and past one of them.
class RegionLossTiles : public testing::TestWithParam<std::tuple<int64_t, bool>> {};

TEST_P(RegionLossTiles, EqualTheWholeMatrix) {
  const auto [n, test] = GetParam();
  const auto pairs = make_pairs(n);
  const TextFilter filter{.similarity_test = test, .threshold = 0.9};
  const auto excluded =
      plain::excluded_pairs(pairs.b, pairs.text_id, test ? filter.threshold : kOnlyIdentical);
  const auto want =
      evaluate(pairs, [&] { return plain::info_nce(pairs.a, pairs.b, pairs.scale, excluded); });
  const auto loss = [&](const Pairs& share, dist::Group& group) {
    return region_loss(share.a, share.b, share.text_id, share.scale, filter, {.group = &group})
        .loss;
  };
  expect_close(evaluate(pairs, [&] { return loss(pairs, dist::alone()); }), want, 2e-6);
  for (const auto& sizes : shares_of(n)) {
    SCOPED_TRACE(testing::PrintToString(sizes));
    expect_close(evaluate_shared(pairs, sizes, loss), want, 2e-6);
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, RegionLossTiles,
                         testing::Combine(testing::Values(1, 2, 130, 1100), testing::Bool()));

// More regions than are measured while the test is closed: the share of the sample is near.
TEST(RegionLossCounts, AreOfASampleWhereThereAreMany) {
  const torch::NoGradGuard no_grad;
  const auto pairs = make_pairs(2 * kMeasuredRows + 5);
  const auto share = [&](bool test) {
    return region_loss(pairs.a, pairs.b, pairs.text_id, pairs.scale, {.similarity_test = test})
        .similar_share.item<double>();
  };
  EXPECT_GT(share(true), 0.05);
  EXPECT_NEAR(share(false), share(true), 0.02);
}

TEST(RegionLossEdge, NoRegionsCostNothingAndStayInTheGraph) {
  const auto pairs = make_pairs(0);
  RegionLoss result;
  const auto got = evaluate(pairs, [&] {
    result = region_loss(pairs.a, pairs.b, pairs.text_id, pairs.scale, {.similarity_test = true});
    return result.loss;
  });
  EXPECT_EQ(got.loss.item<float>(), 0);
  EXPECT_EQ(got.a.sizes(), pairs.a.sizes());
  EXPECT_EQ(result.removed_share.item<double>(), 0);
  EXPECT_EQ(result.similar_share.item<double>(), 0);
}

// Four regions, two of them both "red car" (id 0); "red bus" (1) has cosine 0.96 with it, "tree"
// (2) cosine 0. Of 12 ordered pairs 2 are identical; of the 10 others 4 lie above 0.9.
TEST(RegionLossCounts, AreExactOnAHandMadeCase) {
  const auto texts = torch::tensor({{1.0, 0.0}, {1.0, 0.0}, {0.96, 0.28}, {0.0, 1.0}});
  const auto regions = torch::tensor({{0.6, 0.8}, {1.0, 0.0}, {0.0, 1.0}, {0.8, 0.6}});
  const auto id = torch::tensor({0, 0, 1, 2}, torch::kLong);
  const auto scale = torch::tensor(2.0);
  const auto closed = region_loss(regions, texts, id, scale, {.similarity_test = false});
  EXPECT_DOUBLE_EQ(closed.removed_share.item<double>(), 2.0 / 12);
  EXPECT_DOUBLE_EQ(closed.similar_share.item<double>(), 4.0 / 10);
  const auto open = region_loss(regions, texts, id, scale, {.similarity_test = true});
  EXPECT_DOUBLE_EQ(open.removed_share.item<double>(), 6.0 / 12);
  EXPECT_DOUBLE_EQ(open.similar_share.item<double>(), 4.0 / 10);
  EXPECT_NE(open.loss.item<float>(), closed.loss.item<float>());
}

TEST(RegionLossFilter, IdenticalTextsAreNeverNegatives) {
  const auto pairs = make_pairs(6);
  const auto id = torch::zeros({6}, torch::kLong);
  const auto result =
      region_loss(pairs.a, pairs.b.detach()[0].expand({6, 12}), id, pairs.scale, {});
  EXPECT_EQ(result.loss.item<float>(), 0);
  EXPECT_EQ(result.removed_share.item<double>(), 1);
  EXPECT_EQ(result.similar_share.item<double>(), 0);  // there are no distinct texts
}

// The paper's "- text filter": texts that are equal are negatives like all others.
TEST(RegionLossFilter, WithoutAnyFilterEqualTextsAreNegatives) {
  for (const auto type : {torch::kDouble, torch::kFloat}) {
    const auto pairs = make_pairs(60, type);
    RegionLoss result;
    const auto loss = [&](const Pairs& share, dist::Group& group) {
      const auto of_share = region_loss(share.a, share.b, share.text_id, share.scale,
                                        {.identical = false}, {.group = &group});
      if (group.size() == 1) result = of_share;
      return of_share.loss;
    };
    const auto got = evaluate(pairs, [&] { return loss(pairs, dist::alone()); });
    const auto want =
        evaluate(pairs, [&] { return plain::info_nce(pairs.a, pairs.b, pairs.scale, {}); });
    const double tolerance = type == torch::kDouble ? 1e-11 : 2e-6;
    expect_close(got, want, tolerance);
    EXPECT_EQ(result.removed_share.item<double>(), 0);
    const auto masked = region_loss(pairs.a, pairs.b, pairs.text_id, pairs.scale, {});
    EXPECT_GT(masked.removed_share.item<double>(), 0);
    EXPECT_DOUBLE_EQ(result.similar_share.item<double>(), masked.similar_share.item<double>());
    EXPECT_GT(result.loss.item<double>(), masked.loss.item<double>());
    for (const auto& sizes : shares_of(60))
      expect_close(evaluate_shared(pairs, sizes, loss), want, tolerance);
  }
}

TEST(RegionWeight, IsTheShareOfImagesWithRegions) {
  EXPECT_DOUBLE_EQ(region_weight(3, 12), 0.25);
  EXPECT_DOUBLE_EQ(region_weight(0, 12), 0);
  EXPECT_DOUBLE_EQ(region_weight(12, 12), 1);
  EXPECT_DOUBLE_EQ(region_weight(0, 0), 0);
}

}  // namespace
}  // namespace opencloc

#include "opencloc/base/rng.h"

#include <algorithm>
#include <array>
#include <set>

#include <gtest/gtest.h>

namespace opencloc {
namespace {

// The numbers are part of what a seed means: runs, scenes and resumes depend on them.
TEST(Rng, GivesTheSameNumbersForEver) {
  Rng rng(1, {2, 3});
  const std::array<uint64_t, 3> first{rng.next(), rng.next(), rng.next()};
  Rng again(1, {2, 3});
  for (const uint64_t value : first) EXPECT_EQ(again.next(), value);
  EXPECT_EQ(mix64(0), 0xe220a8397b1dcdafULL);  // splitmix64's first output for seed 0
}

TEST(Rng, PathsAreIndependentStreams) {
  std::set<uint64_t> seen;
  for (uint64_t a = 0; a < 50; ++a) {
    for (uint64_t b = 0; b < 50; ++b) {
      Rng pair(7, {a, b});
      seen.insert(pair.next());
    }
  }
  EXPECT_EQ(seen.size(), 2500u);
}

TEST(Rng, UniformFillsItsRange) {
  Rng rng(3);
  double low = 1, high = 0, sum = 0;
  constexpr int kDraws = 100'000;
  for (int i = 0; i < kDraws; ++i) {
    const double x = rng.uniform();
    low = std::min(low, x);
    high = std::max(high, x);
    sum += x;
  }
  EXPECT_GE(low, 0);
  EXPECT_LT(high, 1);
  EXPECT_NEAR(sum / kDraws, 0.5, 0.005);
}

TEST(Rng, BelowIsFairAndInRange) {
  Rng rng(4);
  std::array<int, 7> counts{};
  for (int i = 0; i < 70'000; ++i) ++counts.at(rng.below(7));
  for (const int count : counts) EXPECT_NEAR(count, 10'000, 400);  // 4 standard deviations
  EXPECT_EQ(rng.below(1), 0u);
}

TEST(Rng, NormalHasItsMoments) {
  Rng rng(5);
  double sum = 0, squares = 0;
  constexpr int kDraws = 100'000;
  for (int i = 0; i < kDraws; ++i) {
    const double x = rng.normal();
    ASSERT_TRUE(std::isfinite(x));
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / kDraws, 0, 0.015);
  EXPECT_NEAR(squares / kDraws, 1, 0.02);
}

TEST(Rng, ShuffleKeepsEveryItem) {
  std::vector<int> items(100);
  std::iota(items.begin(), items.end(), 0);
  auto mixed = items;
  Rng rng(6);
  rng.shuffle(mixed);
  EXPECT_NE(mixed, items);
  std::sort(mixed.begin(), mixed.end());
  EXPECT_EQ(mixed, items);
}

}  // namespace
}  // namespace opencloc

#include "opencloc/objective/entities.h"

#include <algorithm>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

namespace opencloc {
namespace {

using ::testing::ElementsAre;

TEST(SampledClasses, AreThePicturesAndOthersAtRandom) {
  EntityOptions options;
  options.negatives = 20;
  options.seed = 3;
  const std::vector<int64_t> own = {7, 999, 7, 0};
  std::vector<int64_t> often(1000, 0);
  for (int64_t step = 0; step < 2000; ++step) {
    const auto classes = sampled_classes(own, 1000, options, step);
    EXPECT_TRUE(std::ranges::is_sorted(classes));
    EXPECT_EQ(std::set<int64_t>(classes.begin(), classes.end()).size(), classes.size());
    for (const int64_t one : {0, 7, 999}) EXPECT_TRUE(std::ranges::binary_search(classes, one));
    EXPECT_GE(classes.size(), 20U);
    EXPECT_LE(classes.size(), 23U);
    for (const int64_t one : classes) ++often[static_cast<size_t>(one)];
  }
  // Each of the others 2000 * 20 / 1000 = 40 times, give or take 6.3.
  for (size_t i = 1; i < 999; ++i) {
    if (i == 7) continue;
    EXPECT_GT(often[i], 5);
    EXPECT_LT(often[i], 75);
  }
  EXPECT_EQ(sampled_classes(own, 1000, options, 5), sampled_classes(own, 1000, options, 5));
  EXPECT_NE(sampled_classes(own, 1000, options, 5), sampled_classes(own, 1000, options, 6));
}

TEST(SampledClasses, AreAllWhereThereAreFewer) {
  EntityOptions options;
  options.negatives = 4;
  EXPECT_THAT(sampled_classes({1}, 4, options, 9), ElementsAre(0, 1, 2, 3));
  options.negatives = 65536;
  EXPECT_THAT(sampled_classes({1}, 3, options, 9), ElementsAre(0, 1, 2));
}

TEST(EntityMargin, GrowsOverTheWarmUp) {
  EntityOptions options;
  options.margin = 0.2;
  EXPECT_EQ(margin_at(options, 0), 0.2);
  options.warmup = 4;
  EXPECT_EQ(margin_at(options, 0), 0);
  EXPECT_NEAR(margin_at(options, 1), 0.05, 1e-12);
  EXPECT_EQ(margin_at(options, 4), 0.2);
  EXPECT_EQ(margin_at(options, 400), 0.2);
}

TEST(EntityHead, FollowsFromTheSeedClassByClass) {
  const EntityHead small(3, 16, 5), large(5000, 16, 5), other(3, 16, 6);
  EXPECT_TRUE(torch::equal(small.values(), large.values().slice(0, 0, 3)));
  EXPECT_FALSE(torch::equal(small.values(), other.values()));
  EXPECT_NEAR(large.values().norm(2, 1).mean().item<double>(), 1, 0.05);
  EXPECT_NEAR(large.values().mean().item<double>(), 0, 0.01);
}

}  // namespace
}  // namespace opencloc

#include "opencloc/train/stragglers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace opencloc {
namespace {

using ::testing::HasSubstr;

TEST(Stragglers, TheSlowestAgainstTheMedian) {
  Stragglers four({"n01", "n01", "n02", "n03"});
  EXPECT_EQ(four.add({1, 2, 4, 3}), Json({{"rank", 2}, {"host", "n02"}, {"times_median", 2.0}}));
  EXPECT_EQ(four.add({6, 2, 2, 2}), Json({{"rank", 0}, {"host", "n01"}, {"times_median", 3.0}}));
  // Of two the other one is the measure, not the mean of both.
  EXPECT_EQ(Stragglers({"a", "b"}).add({1, 4}),
            Json({{"rank", 1}, {"host", "b"}, {"times_median", 4.0}}));
}

TEST(Stragglers, NobodyWorked) {
  Stragglers two({"a", "b"});
  EXPECT_TRUE(two.add({0, 0}).is_null());
  EXPECT_TRUE(two.add({0, 1}).is_null());
  EXPECT_FALSE(two.warning());
}

TEST(Stragglers, WarnsOnceAfterTenLinesOfTheSameRank) {
  Stragglers three({"n01", "n02", "n03"});
  const auto lines = [&](int count, const std::vector<double>& busy) {
    int warnings = 0;
    for (int i = 0; i < count; ++i) {
      three.add(busy);
      if (const auto text = three.warning()) {
        ++warnings;
        EXPECT_THAT(*text, HasSubstr("rank 1 (n02)"));
        EXPECT_THAT(*text, HasSubstr("1.7 times"));
      }
    }
    return warnings;
  };
  EXPECT_EQ(lines(9, {1, 1.7, 1}), 0);
  EXPECT_EQ(lines(1, {1, 1.5, 1}), 0);  // 1.5 is not late: it begins anew
  EXPECT_EQ(lines(9, {1, 1.7, 1}), 0);
  EXPECT_EQ(lines(1, {1, 1, 1.7}), 0);  // another one
  EXPECT_EQ(lines(10, {1, 1.7, 1}), 1);
  EXPECT_EQ(lines(30, {1, 1.7, 1}), 0);
  EXPECT_EQ(lines(1, {1, 1, 1}), 0);
  EXPECT_EQ(lines(10, {1, 1.7, 1}), 1);
}

}  // namespace
}  // namespace opencloc

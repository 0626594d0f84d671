#include "opencloc/eval/classify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/eval/evaluate.h"

namespace opencloc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(ClassTargets, UnderscoresAndBlanksAreTheSame) {
  const std::string light = "traffic light", cat = "cat", under = "traffic_light", dog = "dog";
  const auto targets = class_targets({&light, &cat, nullptr, &under, &dog},
                                     {"cat", "traffic_light", "traffic light"});
  EXPECT_THAT(targets.classes, ElementsAre("cat", "traffic light"));
  EXPECT_EQ(targets.left_out, 1);
  EXPECT_TRUE(targets.targets.equal(torch::tensor({1, 0, 1}, torch::kInt64)));
  EXPECT_THAT(class_targets({&light, &under}, {}).classes, ElementsAre("traffic light"));
}

TEST(ResultsTable, SaysHowManySamplesAreLeftOut) {
  const auto table = [](int left_out) {
    return results_table(
        {{"zeroshot", {{"acc1", 1.0}, {"n", 1}, {"classes", 2}, {"left_out", left_out}}},
         {"samples", 2},
         {"skipped", Json::object()},
         {"not_run", Json::object()}});
  };
  EXPECT_THAT(table(1), HasSubstr("1 left out"));
  EXPECT_THAT(table(0), Not(HasSubstr("left out")));
}

}  // namespace
}  // namespace opencloc

#include "opencloc/label/select.h"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace opencloc {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> texts(const std::vector<Candidate>& candidates) {
  std::vector<std::string> result;
  for (const auto& candidate : candidates) result.push_back(candidate.text);
  return result;
}

TEST(Select, TheMostConfidentPhraseOfABoxStays) {
  const std::vector<Candidate> candidates = {{{0, 0, 0.5f, 0.5f}, "dog", 0.4f},
                                             {{0, 0, 0.5f, 0.51f}, "brown dog", 0.6f},
                                             {{0.5f, 0.5f, 1, 1}, "cat", 0.3f},
                                             {{0.6f, 0, 1, 0.4f}, "faint", 0.05f}};
  EXPECT_THAT(texts(select_candidates(candidates, {})), ElementsAre("brown dog", "cat"));
  EXPECT_THAT(texts(select_candidates(candidates, {.nms_iou = 1})),
              ElementsAre("brown dog", "dog", "cat"));
  EXPECT_THAT(texts(select_candidates(candidates, {.most = 1})), ElementsAre("brown dog"));
  EXPECT_THAT(texts(select_candidates(candidates, {.threshold = 0.35f})), ElementsAre("brown dog"));
  EXPECT_THAT(texts(select_candidates(candidates, {.smallest = 0.25f})), ElementsAre("brown dog"));
}

TEST(Select, BrokenNumbersAreNoRegions) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(texts(select_candidates({{{0, 0, 1, nan}, "a", 0.9f},
                                       {{0, 0, 1, 1}, "b", nan},
                                       {{0.5f, 0, 0.5f, 1}, "c", 0.9f},
                                       {{0, 0, 1, 1}, "d", 0.2f}},
                                      {})),
              ElementsAre("d"));
}

TEST(Select, EqualScoresKeepTheirOrder) {
  EXPECT_THAT(texts(select_candidates({{{0, 0, 0.1f, 0.1f}, "a", 0.5f},
                                       {{0.2f, 0, 0.3f, 0.1f}, "b", 0.5f},
                                       {{0.4f, 0, 0.5f, 0.1f}, "c", 0.5f}},
                                      {})),
              ElementsAre("a", "b", "c"));
}

TEST(Select, RegionsOfOtherSourcesStay) {
  LabelSample sample;
  Region human;
  human.box = {0, 0, 0.2f, 0.2f};
  human.source = "human";
  Region old = human;
  old.source = "owlv2";
  sample.record.regions = {human, old};
  store_candidates(sample, {{{0.5f, 0.5f, 1, 1}, "cat", 0.3f}});
  const auto stage = select_stage({.source = "owlv2"});
  stage->run({&sample, 1});
  ASSERT_EQ(sample.record.regions.size(), 2U);
  EXPECT_EQ(sample.record.regions[0].source, "human");
  EXPECT_EQ(sample.record.regions[1].text, "cat");
  EXPECT_FALSE(sample.record.extra.contains(kCandidatesKey));
  EXPECT_EQ(stage->take_report()["regions"], 1);
  EXPECT_EQ(stage->take_report()["regions"], 0);
}

}  // namespace
}  // namespace opencloc

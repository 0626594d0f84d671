#include "opencloc/data/look/phrase_fates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace opencloc {
namespace {

using ::testing::ElementsAre;
using State = PhraseFate::State;

Record labelled(const std::string& json) {
  Record record;
  record.key = "k";
  parse_record_json(json, "k", record);
  return record;
}

TEST(PhraseFates, SayWhichRegionsAPhraseHasAndWhyAnotherHasNone) {
  const auto fates = phrase_fates(labelled(R"({
    "phrases": ["bus", "dog", "wheel", "sky", "door"],
    "regions": [{"box": [0, 0, 0.5, 0.5], "text": "bus", "score": 0.8},
                {"box": [0.6, 0, 0.9, 1], "text": "man", "score": 1, "source": "human"},
                {"box": [0.5, 0.5, 1, 1], "text": "bus", "score": 0.6}],
    "candidates": [{"box": [0, 0, 0.5, 0.5], "text": "bus", "score": 0.8},
                   {"box": [0, 0, 0.1, 0.1], "text": "dog", "score": 0.15},
                   {"box": [0, 0, 0.2, 0.1], "text": "dog", "score": 0.18},
                   {"box": [0, 0, 0.5, 0.49], "text": "wheel", "score": 0.7},
                   {"box": [0.1, 0.8, 0.2, 0.9], "text": "door", "score": 0.3}],
    "vesl": {"detect": {"threshold": 0.1}, "select": {"threshold": 0.2, "nms_iou": 0.5}}})"));
  ASSERT_EQ(fates.size(), 5u);
  EXPECT_EQ(fates[0].state, State::kKept);
  EXPECT_THAT(fates[0].regions, ElementsAre(0, 2));
  EXPECT_EQ(fates[1].state, State::kDropped);
  EXPECT_EQ(fates[1].candidate, 2u) << "the better of two";
  EXPECT_EQ(fates[1].why, "score 0.18 under 0.20");
  EXPECT_EQ(fates[2].why, "score 0.70, its box is that of 'bus'");
  EXPECT_EQ(fates[3].why, "no box over 0.10");
  EXPECT_EQ(fates[3].candidate, std::nullopt);
  EXPECT_EQ(fates[4].why, "score 0.30, too small or over the limit");
}

TEST(PhraseFates, WithoutADetectorNothingIsDropped) {
  const std::string phrases = R"("phrases": ["bus", "man"], "regions": [)"
                              R"({"box": [0, 0, 1, 1], "text": "man", "source": "human"}])";
  auto fates = phrase_fates(labelled("{" + phrases + R"(, "vesl": {"phrases": {}}})"));
  ASSERT_EQ(fates.size(), 2u);
  EXPECT_EQ(fates[0].state, State::kNotAsked);
  EXPECT_EQ(fates[1].state, State::kKept);
  fates = phrase_fates(labelled("{" + phrases + R"(, "vesl": {"detect": {}}})"));
  EXPECT_EQ(fates[0].state, State::kDropped);
  EXPECT_EQ(fates[0].why, "no box");
}

TEST(PhraseFates, ABoxThatAPersonDrewIsNotThePhrases) {
  const auto fates = phrase_fates(labelled(R"({"phrases": ["bus"],
    "regions": [{"box": [0, 0, 1, 1], "text": "bus", "source": "human"}],
    "candidates": [{"box": [0, 0, 1, 1], "text": "bus", "score": 0.2}],
    "vesl": {"detect": {"detector": "owlv2"}, "select": {"threshold": 0.3}}})"));
  ASSERT_EQ(fates.size(), 1u);
  EXPECT_EQ(fates[0].why, "score 0.20 under 0.30");
}

TEST(PhraseFates, OfRecordsThatAreNotOurs) {
  EXPECT_TRUE(phrase_fates(labelled("{}")).empty());
  EXPECT_TRUE(phrase_fates(labelled(R"({"phrases": {"a": 1}, "vesl": 3})")).empty());
  const auto fates = phrase_fates(
      labelled(R"({"phrases": ["a"], "candidates": 7, "vesl": {"detect": 1, "select": []}})"));
  ASSERT_EQ(fates.size(), 1u);
  EXPECT_EQ(fates[0].why, "no box");
}

}  // namespace
}  // namespace opencloc

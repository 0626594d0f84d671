// Questions as people type them.
#include "opencloc/mllm/question.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

using testing::HasSubstr;

constexpr PictureSize kTyped{200, 100};
constexpr FrameOptions kFerret{.frame = Frame::kFerret};
constexpr FrameOptions kLlava{.frame = Frame::kLlava};

TEST(Question, BracketsAreBoxesAndPoints) {
  const auto asked = parse_question("Is [100, 200, 550, 900] left of [750,500]?", kTyped, kFerret);
  ASSERT_EQ(asked.turns.size(), 1U);
  EXPECT_EQ(asked.turns[0].ask, "Is <box0> left of <point1>?");
  EXPECT_EQ(asked.turns[0].say, "");
  ASSERT_EQ(asked.boxes.size(), 2U);
  EXPECT_NEAR(asked.boxes[0].x0, 0.1F, 1e-6);
  EXPECT_NEAR(asked.boxes[0].y1, 0.9F, 1e-6);
  ASSERT_EQ(asked.points.size(), 2U);
  EXPECT_NEAR(asked.points[1].x, 0.75F, 1e-6);
  EXPECT_NEAR(asked.points[1].y, 0.5F, 1e-6);
}

TEST(Question, LlavaCountsThePaddedSquare) {
  const auto asked = parse_question("What is [0.25, 0.25, 0.75, 0.75]?", kTyped, kLlava);
  ASSERT_EQ(asked.boxes.size(), 1U);
  EXPECT_NEAR(asked.boxes[0].x0, 0.25F, 1e-6);
  EXPECT_NEAR(asked.boxes[0].y0, 0.0F, 1e-6);
  EXPECT_NEAR(asked.boxes[0].y1, 1.0F, 1e-6);
  EXPECT_TRUE(asked.points.empty());
}

TEST(Question, OtherBracketsAreWords) {
  for (const char* text : {"What is [this]?", "An open [1, 2", "[1]", "[1, 2, 3]", "no brackets"}) {
    const auto asked = parse_question(text, kTyped, kFerret);
    EXPECT_EQ(asked.turns[0].ask, text);
    EXPECT_TRUE(asked.boxes.empty());
  }
}

TEST(Question, WhatCannotBeAskedIsSaid) {
  const auto refusal = [](const char* text) -> std::string {
    try {
      parse_question(text, kTyped, kFerret);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(refusal("What is [100, 200, 550, 1900]?"), HasSubstr("outside the picture"));
  EXPECT_THAT(refusal("What is [-1, 5]?"), HasSubstr("outside the picture"));
  EXPECT_THAT(refusal("What is [300, 200, 300, 200]?"), HasSubstr("outside the picture"));
  EXPECT_THAT(refusal("  "), HasSubstr("an empty question"));
  EXPECT_THAT(refusal("What is <image>?"), HasSubstr("mark"));
}

}  // namespace
}  // namespace opencloc

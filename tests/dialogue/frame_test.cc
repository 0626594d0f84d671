#include "opencloc/dialogue/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

constexpr PictureSize kWide{1280, 720}, kTall{720, 1280}, kSquare{500, 500};
const Box kBox{0.1f, 0.2f, 0.55f, 0.9f};

FrameOptions in(Frame frame) { return {.frame = frame}; }

void expect_near(const Box& a, const Box& b, float slack) {
  EXPECT_NEAR(a.x0, b.x0, slack);
  EXPECT_NEAR(a.y0, b.y0, slack);
  EXPECT_NEAR(a.x1, b.x1, slack);
  EXPECT_NEAR(a.y1, b.y1, slack);
}

TEST(Frame, ThousandthsAreOfThePictureWhateverItsShape) {
  for (const PictureSize picture : {kWide, kTall, kSquare}) {
    EXPECT_EQ(frame_text(kBox, picture, in(Frame::kFerret)), "[100, 200, 550, 900]");
    EXPECT_EQ(frame_text(kBox, picture, in(Frame::kQwen3)), "[100, 200, 550, 900]");
    EXPECT_EQ(frame_text(kBox, picture, in(Frame::kInternvl)), "<box>[[100, 200, 550, 900]]</box>");
    EXPECT_EQ(frame_text(kBox, picture, in(Frame::kQwen2)),
              "<|box_start|>(100,200),(550,900)<|box_end|>");
  }
  EXPECT_EQ(frame_text(PicturePoint{0.25f, 0.5f}, kWide, in(Frame::kFerret)), "[250, 500]");
}

TEST(Frame, FerretCutsOffAndTheOthersRound) {
  const Box box{0.1239f, 0.29f, 0.5718f, 1};
  EXPECT_EQ(frame_text(box, kSquare, in(Frame::kFerret)), "[123, 290, 571, 999]");
  EXPECT_EQ(frame_text(box, kSquare, in(Frame::kInternvl)), "<box>[[124, 290, 572, 1000]]</box>");
}

// 720 pixels stand in the middle of 1280: 0.2 of the height is (280 + 144) / 1280.
TEST(Frame, HundredthsAreOfThePaddedSquare) {
  EXPECT_EQ(frame_text(kBox, kWide, in(Frame::kLlava)), "[0.1, 0.33, 0.55, 0.72]");
  EXPECT_EQ(frame_text(kBox, kTall, in(Frame::kLlava)), "[0.28, 0.2, 0.53, 0.9]");
  EXPECT_EQ(frame_text(kBox, kSquare, in(Frame::kLlava)), "[0.1, 0.2, 0.55, 0.9]");
  EXPECT_EQ(frame_text(Box{0, 0, 1, 1}, kWide, in(Frame::kLlava)), "[0.0, 0.22, 1.0, 0.78]");
  EXPECT_EQ(frame_text(PicturePoint{0.5f, 0}, kWide, in(Frame::kLlava)), "[0.5, 0.22]");
}

TEST(Frame, PaddingOfAnOddNumberOfPixelsEndsWithTheLargerHalf) {
  const Box whole = to_padded_square({0, 0, 1, 1}, {10, 7});
  expect_near(whole, {0, 0.1f, 1, 0.8f}, 1e-6f);  // one row above, two below
  expect_near(from_padded_square(whole, {10, 7}), {0, 0, 1, 1}, 1e-6f);
}

// The sizes are qwen_vl_utils.smart_resize's.
TEST(Frame, QwensPixelsAreOfTheResizedPicture) {
  const auto size = [](int width, int height, int64_t most = int64_t{16384} * 28 * 28) {
    const PictureSize resized = qwen_resized({width, height}, int64_t{4} * 28 * 28, most);
    return std::pair(resized.width, resized.height);
  };
  EXPECT_EQ(size(1280, 720), std::pair(1288, 728));
  EXPECT_EQ(size(720, 1280), std::pair(728, 1288));
  EXPECT_EQ(size(640, 426), std::pair(644, 420));
  EXPECT_EQ(size(42, 42), std::pair(56, 56)) << "1.5 goes to the even multiple";
  EXPECT_EQ(size(70, 98), std::pair(56, 112)) << "so do 2.5 and 3.5";
  EXPECT_EQ(size(20, 20), std::pair(56, 56)) << "no fewer pixels than min_pixels";
  EXPECT_EQ(size(1280, 720, 500000), std::pair(924, 504)) << "no more than max_pixels";
  EXPECT_EQ(size(4000, 3000, 1003520), std::pair(1148, 840));
  EXPECT_EQ(frame_text(kBox, kWide, in(Frame::kQwen25)), "[129, 146, 708, 655]");
  EXPECT_EQ(frame_text(kBox, kTall, in(Frame::kQwen25)), "[73, 258, 400, 1159]");
  EXPECT_THROW(qwen_resized({5000, 20}, 1, 1 << 20), Error);
}

TEST(Frame, EveryFramesTextIsReadBack) {
  for (const Frame frame : {Frame::kFerret, Frame::kLlava, Frame::kQwen2, Frame::kQwen25,
                            Frame::kQwen3, Frame::kInternvl}) {
    for (const PictureSize picture : {kWide, kTall, kSquare, PictureSize{640, 426}}) {
      const std::string text = "red fox " + frame_text(kBox, picture, in(frame)) + ", bat " +
                               frame_text(Box{0.5f, 0.5f, 1, 1}, picture, in(frame)) + ".";
      const auto found = find_boxes(text, picture, in(frame));
      ASSERT_EQ(found.size(), 2U) << text;
      EXPECT_EQ(found[0].phrase, "red fox") << text;
      EXPECT_EQ(found[1].phrase, "bat") << text;
      // Half a hundredth of the long side is a larger share of the short one.
      expect_near(found[0].box, kBox, frame == Frame::kLlava ? 0.009f : 0.0011f);
    }
  }
}

TEST(FindBoxes, TakesPhrasesFromMarksAndLabels) {
  const auto phrase = [](std::string_view text) {
    const auto found = find_boxes(text, kSquare, in(Frame::kQwen3));
    return found.size() == 1 ? found[0].phrase : "not one box";
  };
  EXPECT_EQ(phrase("<ref>a fox</ref><box>[[1, 2, 3, 4]]</box>"), "a fox");
  EXPECT_EQ(phrase("<|object_ref_start|>fox<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|>"),
            "fox");
  EXPECT_EQ(phrase("[{\"bbox_2d\": [1, 2, 3, 4], \"label\": \"a fox\"}]"), "a fox");
  EXPECT_EQ(phrase("It is big, the fox [1, 2, 3, 4]"), "the fox");
  EXPECT_EQ(phrase("[1, 2, 3, 4]"), "");
}

TEST(FindBoxes, WhatHasNoEndOrOtherNumbersIsNoBox) {
  for (const char* text : {"", "no box", "fox [100, 200, 300", "fox [100, 200, 300]",
                           "fox [1, 2, 3, 4, 5]", "fox [a, b, c, d]", "fox (1, 2)", "(1,2),(3",
                           "fox [nan, 1, 2, 3]", "[", "[[[[", "[1,2,3,"}) {
    EXPECT_TRUE(find_boxes(text, kSquare, in(Frame::kFerret)).empty()) << text;
  }
  EXPECT_EQ(find_boxes("[5] fox [1, 2, 3, 4]", kSquare, in(Frame::kFerret)).size(), 1U);
}

TEST(FindBoxes, NumbersOutsideArePulledIntoThePicture) {
  const auto found = find_boxes("[-50, 0, 2000, 500]", kWide, in(Frame::kFerret));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].box, (Box{0, 0, 1, 0.5f}));
}

TEST(FerretBoxes, FollowsItsEvaluationToTheLetter) {
  const auto found =
      ferret_boxes("a red fox [100, 200, 550, 900], the bat [0, 0, 500, 500].", kWide);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].phrase, "a red fox");
  EXPECT_EQ(found[1].phrase, "the bat");
  EXPECT_FLOAT_EQ(found[0].box.x1 * 1280, 704);
  EXPECT_FLOAT_EQ(ferret_boxes("[333, 333, 777, 777]", kWide)[0].box.x0 * 1280, 426) << "426.24";
  // One bracket that is no list of whole numbers, and nothing counts.
  EXPECT_TRUE(ferret_boxes("fox [1, 2, 3, 4], bat [0.5, 1, 2, 3].", kWide).empty());
  EXPECT_TRUE(ferret_boxes("fox [1, 2, 3, 4], [a] bat", kWide).empty());
  EXPECT_TRUE(ferret_boxes("fox [1, 2, 3]", kWide).empty());
  EXPECT_TRUE(ferret_boxes("fox [1, 2, 3, 4", kWide).empty());
  // Without a delimiter after the first box, the second has no phrase.
  const auto joined = ferret_boxes("fox [1, 2, 3, 4] and bat [5, 6, 7, 8].", kWide);
  ASSERT_EQ(joined.size(), 2U);
  EXPECT_EQ(joined[1].phrase, "");
}

}  // namespace
}  // namespace opencloc

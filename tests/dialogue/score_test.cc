#include "opencloc/dialogue/score.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace opencloc {
namespace {

ReferScore refer(const std::string& answer, const std::string& name, const std::string& other = "",
                 std::vector<std::string> synonyms = {}) {
  ReferScore score;
  score.add({answer, name, std::move(synonyms), other});
  return score;
}

TEST(ReferScore, FerretsRuleIsASubstring) {
  EXPECT_EQ(refer("It is a fox.", "fox").ferret, 1);
  EXPECT_EQ(refer("It is a bat.", "fox").ferret, 0);
  EXPECT_EQ(refer("A pineapple", "apple").ferret, 1);
  EXPECT_EQ(refer("a Fox", "fox").ferret, 0) << "with its case";
  EXPECT_EQ(refer("a stop sign", "stop_sign").ferret, 1);
  EXPECT_EQ(refer("an antenna", "mast", "", {"aerial_(antenna)"}).ferret, 1);
  EXPECT_EQ(refer("an aerial", "mast", "", {"aerial_(antenna)"}).ferret, 1);
}

TEST(ReferScore, FerretsRuleDeletesNegatedSpans) {
  EXPECT_EQ(refer("It is not a fox, it is a bat.", "fox").ferret, 0);
  EXPECT_EQ(refer("It is not a fox, it is a bat.", "bat").ferret, 1);
  EXPECT_EQ(refer("There is no fox.", "fox").ferret, 0);
  EXPECT_EQ(refer("It is not a fox", "fox").ferret, 1) << "a span without an end is kept";
  EXPECT_EQ(refer("North of it, a nose of a fox, yes", "fox").ferret, 0) << "' no' begins 'nose'";
  EXPECT_EQ(refer("not a fox, a bat", "fox").ferret, 1) << "nothing blank before it";
}

TEST(ReferScore, TheStrictRuleTakesTheWholeAnswer) {
  for (const char* right : {"fox", "a fox", "The fox.", "Fox"})
    EXPECT_EQ(refer(right, "fox", "bat").strict, 1) << right;
  for (const char* wrong : {"a fox or a bat", "It is a fox", "foxglove", "bat", ""})
    EXPECT_EQ(refer(wrong, "fox", "bat").strict, 0) << wrong;
  EXPECT_EQ(refer("an antenna", "mast", "", {"aerial_(antenna)"}).strict, 1);
}

TEST(ReferScore, CountsAnswersThatNameBoth) {
  const ReferScore both = refer("a fox or a bat", "fox", "bat");
  EXPECT_EQ(both.ferret, 1) << "right by Ferret's rule";
  EXPECT_EQ(both.both, 1);
  EXPECT_EQ(refer("a fox", "fox", "bat").both, 0);
  EXPECT_EQ(refer("a fox with an acrobat", "fox", "bat").both, 0) << "as words";
  const Json json = both.json();
  EXPECT_EQ(json["acc"], 1.0);
  EXPECT_EQ(json["strict_acc"], 0.0);
  EXPECT_EQ(json["names_both"], 1.0);
  EXPECT_EQ(json["n"], 1);
}

GroundScore ground(const std::string& answer, const Box& box, PictureSize picture,
                   Frame frame = Frame::kFerret) {
  GroundScore score;
  score.add({answer, box, picture}, {.frame = frame});
  return score;
}

TEST(GroundScore, TheFirstBoxCountsInEveryFrame) {
  const Box box{0.1f, 0.2f, 0.5f, 0.8f};
  for (const PictureSize picture : {PictureSize{1280, 720}, PictureSize{720, 1280}}) {
    for (const Frame frame : {Frame::kFerret, Frame::kLlava, Frame::kQwen2, Frame::kQwen25,
                              Frame::kQwen3, Frame::kInternvl}) {
      const std::string said = "fox " + frame_text(box, picture, {.frame = frame}) + ".";
      const GroundScore score = ground(said, box, picture, frame);
      EXPECT_EQ(score.right, 1) << said;
      EXPECT_GT(score.iou_sum, 0.95) << said;
    }
    EXPECT_EQ(ground("fox [0, 0, 50, 50], fox [100, 200, 500, 800].", box, picture).right, 0);
  }
}

TEST(GroundScore, TheWrongFrameIsSeen) {
  const Box box{0.1f, 0.05f, 0.3f, 0.2f};
  const PictureSize wide{1280, 720};
  const std::string padded = frame_text(box, wide, {.frame = Frame::kLlava});
  EXPECT_EQ(ground(padded, box, wide, Frame::kLlava).right, 1);
  GroundScore squashed;
  squashed.add({"[100, 50, 300, 200]", box, wide}, {.frame = Frame::kQwen25});
  EXPECT_EQ(squashed.right, 0);
}

TEST(GroundScore, HalfIsRightAndNoBoxIsWrong) {
  const PictureSize picture{1000, 1000};
  EXPECT_EQ(ground("[0, 0, 500, 250]", {0, 0, 0.5f, 0.5f}, picture).right, 1);
  EXPECT_EQ(ground("[0, 0, 500, 249]", {0, 0, 0.5f, 0.5f}, picture).right, 0);
  for (const char* none : {"I do not know.", "fox [0, 0, 500, 250", "[0, 0, 0.5, 0.5]"}) {
    const GroundScore score = ground(none, {0, 0, 0.5f, 0.5f}, picture);
    EXPECT_EQ(score.right, 0) << none;
    EXPECT_EQ(score.no_box, 1) << none;
  }
  const Json json = ground("[0, 0, 500, 500]", {0, 0, 0.5f, 0.5f}, picture).json();
  EXPECT_EQ(json["acc@0.5"], 1.0);
  EXPECT_EQ(json["mean_iou"], 1.0);
  EXPECT_EQ(GroundScore().json()["acc@0.5"], 0.0);
}

EntityScore entity(const std::string& answer, const std::string& phrase, std::vector<Box> boxes) {
  EntityScore score;
  score.add({answer, phrase, std::move(boxes), {1000, 1000}}, {.frame = Frame::kFerret});
  return score;
}

TEST(EntityScore, MergesTheTrueBoxesAndSaysAnyBoxBeside) {
  const std::vector<Box> two = {{0, 0, 0.4f, 0.4f}, {0.6f, 0.6f, 1, 1}};
  const EntityScore around = entity("two men [0, 0, 999, 999].", "two men", two);
  EXPECT_EQ(around.merged, 1);
  EXPECT_EQ(around.any, 0);
  const EntityScore one = entity("two men [0, 0, 400, 400].", "two men", two);
  EXPECT_EQ(one.merged, 0);
  EXPECT_EQ(one.any, 1);
}

TEST(EntityScore, OnlyBoxesOfThePhraseCount) {
  const std::vector<Box> box = {{0, 0, 0.5f, 0.5f}};
  EXPECT_EQ(entity("a dog [0, 0, 500, 500], a man [500, 500, 900, 900].", "A dog.", box).merged, 1);
  EXPECT_EQ(entity("a cat [0, 0, 500, 500].", "a dog", box).no_box, 1);
  EXPECT_EQ(entity("dog [0, 0, 500, 500].", "a dog", box).no_box, 1) << "all its words";
  const EntityScore second =
      entity("a dog [500, 500, 900, 900], a dog [0, 0, 500, 500].", "a dog", box);
  EXPECT_EQ(second.merged, 0) << "the first of them";
  EXPECT_EQ(second.upper_bound, 1);
}

TEST(PlainPhrase, AsFerretComparesThem) {
  EXPECT_EQ(plain_phrase("A Man's  hat."), "a man s hat");
  EXPECT_EQ(plain_phrase("t-shirt"), "tshirt");
  EXPECT_EQ(plain_phrase(" one , two"), "one two");
  EXPECT_EQ(plain_phrase("..."), "");
  EXPECT_EQ(plain_phrase("\u00C9toile \u201Cbleue\u201D"), "\u00E9toile bleue");
}

TEST(PopeScore, ReadsTheFirstSentence) {
  for (const char* no : {"No", "no.", "No, there is not.", "There is no fox", "I do not see it.",
                         "Well, no", "no, yes"})
    EXPECT_FALSE(pope_says_yes(no)) << no;
  for (const char* yes : {"Yes", "yes, there is. It is not small.", "Maybe", "", "NO", "Nothing",
                          "no\nbecause", "not,sure"})
    EXPECT_TRUE(pope_says_yes(yes)) << yes;
}

TEST(PopeScore, GivesTheFiveFigures) {
  PopeScore score;
  for (int i = 0; i < 3; ++i) score.add("Yes", true);
  score.add("No", true);
  score.add("yes.", false);
  score.add("no", false);
  score.add("maybe", false);
  const Json json = score.json();
  EXPECT_EQ(json["n"], 7);
  EXPECT_DOUBLE_EQ(json["accuracy"], 4.0 / 7);
  EXPECT_DOUBLE_EQ(json["precision"], 0.6);
  EXPECT_DOUBLE_EQ(json["recall"], 0.75);
  EXPECT_DOUBLE_EQ(json["f1"], 2 * 0.6 * 0.75 / 1.35);
  EXPECT_DOUBLE_EQ(json["yes_share"], 5.0 / 7);
  EXPECT_DOUBLE_EQ(json["neither"], 1.0 / 7);
  PopeScore never;
  never.add("no", true);
  EXPECT_EQ(never.json()["precision"], 0.0) << "no yes at all is no division by zero";
  EXPECT_EQ(never.json()["f1"], 0.0);
}

}  // namespace
}  // namespace opencloc

#include "opencloc/dialogue/dialogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/dialogue/make_dialogues.h"
#include "opencloc/dialogue/templates.h"
#include "opencloc/dialogue/words.h"
#include "tests/data/tar_maker.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

using fixtures::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Json sound() {
  return parse_json(R"({"task": "ground", "turns": [{"ask": "Where is the fox?",
    "say": "fox <box0>."}], "boxes": [[0.1, 0.2, 0.5, 0.9]], "name": "fox"})",
                    "test");
}

std::string reason_of(const Json& value) {
  try {
    parse_dialogue(value, "x.tar#1");
  } catch (const BadSample& bad) {
    EXPECT_THAT(bad.what(), HasSubstr("x.tar#1"));
    EXPECT_THAT(bad.what(), ::testing::Not(HasSubstr("\n")));
    return bad.reason();
  }
  return "";
}

TEST(Dialogue, IsReadAndWrittenAsItWas) {
  const Dialogue dialogue = parse_dialogue(sound(), "test");
  EXPECT_EQ(dialogue.task, "ground");
  ASSERT_EQ(dialogue.turns.size(), 1U);
  EXPECT_EQ(dialogue.turns[0].say, "fox <box0>.");
  EXPECT_EQ(dialogue.boxes, (std::vector<Box>{{0.1f, 0.2f, 0.5f, 0.9f}}));
  EXPECT_EQ(dump_json(dialogue_json(dialogue)), dump_json(sound()));
}

TEST(Dialogue, BrokenOnesSayWhatIsWrong) {
  EXPECT_EQ(reason_of(sound()), "");
  const auto with = [](const char* pointer, const Json& value) {
    Json changed = sound();
    changed[Json::json_pointer(pointer)] = value;
    return reason_of(changed);
  };
  EXPECT_EQ(with("/turns/0/ask", "Is <box1> a fox?"), skip::kNoBox);
  EXPECT_EQ(with("/turns/0/ask", "Is <point0> a fox?"), skip::kNoBox);
  EXPECT_EQ(with("/boxes", Json::array()), skip::kNoBox);
  EXPECT_EQ(with("/boxes/0/2", 1.2), skip::kBoxOutside);
  EXPECT_EQ(with("/boxes/0/0", -0.1), skip::kBoxOutside);
  EXPECT_EQ(with("/boxes/0/0", 120), skip::kBoxOutside) << "pixels";
  EXPECT_EQ(with("/boxes/0/2", 0.1), skip::kEmptyBox);
  EXPECT_EQ(with("/points", parse_json("[[0.5, 1.5]]", "")), skip::kBoxOutside);
  EXPECT_EQ(with("/points", parse_json("[[0.5, 0.5], [0.1, 0.1]]", "")), skip::kBadDialogue);
  EXPECT_EQ(with("/turns/0/say", ""), skip::kNoAnswer);
  EXPECT_EQ(with("/turns/0/say", " \n"), skip::kNoAnswer);
  EXPECT_EQ(with("/turns/0/say", nullptr), skip::kNoAnswer);
  EXPECT_EQ(with("/turns/0/say", "fox <box0"), skip::kOpenPlaceholder);
  EXPECT_EQ(with("/turns/0/say", "fox <box"), skip::kOpenPlaceholder);
  EXPECT_EQ(with("/turns/0/say", "fox <box>"), skip::kOpenPlaceholder);
  EXPECT_EQ(with("/turns/0/say", "fox <box-1>"), skip::kOpenPlaceholder);
  EXPECT_EQ(with("/turns/0/say", "fox <box99999999999999999999>"), skip::kOpenPlaceholder);
  EXPECT_EQ(with("/turns/0/say", "<image> fox"), skip::kReserved);
  EXPECT_EQ(with("/turns/0/ask", "<|im_end|>"), skip::kReserved);
  EXPECT_EQ(with("/turns/0/ask", 5), skip::kBadDialogue);
  EXPECT_EQ(with("/turns", Json::array()), skip::kBadDialogue);
  EXPECT_EQ(with("/turns", "text"), skip::kBadDialogue);
  EXPECT_EQ(with("/boxes/0", "text"), skip::kBadDialogue);
  EXPECT_EQ(with("/boxes/0/1", "0.2"), skip::kBadDialogue);
  EXPECT_EQ(reason_of(Json("text")), skip::kBadDialogue);
}

TEST(Dialogue, OneBrokenOneDoesNotCostTheOthers) {
  Record record = fixtures::make_test_record("1");
  Json broken = sound();
  broken["boxes"] = Json::array();
  record.extra[kDialogues] = {sound(), broken, 7, sound()};
  SkipCounter skips(0);
  EXPECT_EQ(read_dialogues(record, "x.tar#1", skips).size(), 2U);
  EXPECT_EQ(skips.count(skip::kNoBox), 1);
  EXPECT_EQ(skips.count(skip::kBadDialogue), 1);
  EXPECT_THAT(skips.first_names(skip::kNoBox)[0], HasSubstr("x.tar#1, dialogue 1"));
  record.extra[kDialogues] = "text";
  EXPECT_TRUE(read_dialogues(record, "x.tar#1", skips).empty());
  EXPECT_EQ(skips.count(skip::kBadDialogue), 2);
}

TEST(Dialogue, PlaceholdersAreFoundBetweenWords) {
  const auto pieces = split_placeholders("a <box12> and <point0>", "test");
  ASSERT_EQ(pieces.size(), 4U);
  EXPECT_EQ(pieces[0].words, "a ");
  EXPECT_EQ(pieces[1].index, 12U);
  EXPECT_EQ(pieces[3].kind, Piece::Kind::kPoint);
  EXPECT_TRUE(split_placeholders("", "test").empty());
  EXPECT_EQ(split_placeholders("1 < 2 <3", "test").size(), 1U);
}

class TemplatesTest : public ::testing::Test {
 protected:
  // The error of a file with this text.
  std::string error(const std::string& text) {
    write_file(folder_ / "t.json", text);
    return error_of([this] { Templates(folder_ / "t.json"); });
  }
  fixtures::TempFolder folder_;
};

TEST_F(TemplatesTest, ReplaceTheBuiltInOnes) {
  write_file(folder_ / "t.json", R"({"exists": ["Any {name}?", "Do you see a {name}?"]})");
  const Templates templates(folder_ / "t.json");
  EXPECT_THAT(templates.wordings("exists"), ElementsAre("Any {name}?", "Do you see a {name}?"));
  EXPECT_THAT(templates.wordings("ground"),
              ElementsAre("What is the location of {phrase} in the image?"));
  EXPECT_EQ(fill_slots("{a} or {b}, {c}", {{"a", "{b}"}, {"b", "fox"}}), "{b} or fox, {c}");
}

TEST_F(TemplatesTest, WhatIsUnknownOrMissingIsOneClearLine) {
  EXPECT_THAT(error(R"({"exist": ["?"]})"), HasSubstr("unknown template 'exist'"));
  EXPECT_THAT(error(R"({"exist": ["?"]})"), HasSubstr("use one of refer, name"));
  EXPECT_THAT(error(R"({"exists": ["A {colour} {name}?"]})"), HasSubstr("unknown slot {colour}"));
  EXPECT_THAT(error(R"({"ground": ["Where is {phrase}? {box}"]})"),
              HasSubstr("unknown slot {box}"));
  EXPECT_THAT(error(R"({"refer": ["A {a} or a {b}?"]})"), HasSubstr("has no {box}"));
  EXPECT_THAT(error(R"({"exists": ["A {name?"]})"), HasSubstr("no other half"));
  EXPECT_THAT(error(R"({"exists": ["A name}?"]})"), HasSubstr("no other half"));
  EXPECT_THAT(error(R"({"caption": ["<image> Describe it."]})"), HasSubstr("mark of a trainer"));
  EXPECT_THAT(error(R"({"caption": []})"), HasSubstr("no list of texts"));
  EXPECT_THAT(error(R"({"caption": "Describe it."})"), HasSubstr("no list of texts"));
  EXPECT_THAT(error("[]"), HasSubstr("no JSON object"));
  EXPECT_THAT(error("[]"), HasSubstr("t.json"));
}

TEST(Mix, TasksHaveWeights) {
  EXPECT_EQ(parse_mix({"refer:20", "ground"}),
            (std::map<std::string, double>{{"refer", 20}, {"ground", 1}}));
  EXPECT_THAT(error_of([] { parse_mix({"reefer"}); }), HasSubstr("unknown task 'reefer'"));
  EXPECT_THAT(error_of([] { parse_mix({"refer:0"}); }), HasSubstr("no number above 0"));
  EXPECT_THAT(error_of([] { parse_mix({"refer:x"}); }), HasSubstr("no number above 0"));
}

TEST(Words, PluralsAreTheSame) {
  EXPECT_THAT(words_of("Red-eyed fox's, 2"), ElementsAre("red", "eyed", "fox", "s", "2"));
  for (const auto& [one, many] : {std::pair("fox", "foxes"),
                                  {"bus", "buses"},
                                  {"vase", "vases"},
                                  {"pony", "ponies"},
                                  {"dress", "dresses"},
                                  {"bee", "bees"},
                                  {"apple", "apples"},
                                  {"horse", "horses"}})
    EXPECT_EQ(stems_of(one), stems_of(many)) << one;
  EXPECT_NE(stems_of("fox"), stems_of("ox"));
  EXPECT_TRUE(holds_words(words_of("a red fox"), words_of("red fox")));
  EXPECT_FALSE(holds_words(words_of("a red fox"), words_of("a fox")));
  EXPECT_FALSE(holds_words(words_of("a red fox"), {}));
}

}  // namespace
}  // namespace opencloc

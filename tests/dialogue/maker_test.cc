#include "opencloc/dialogue/maker.h"

#include <algorithm>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/dialogue/questions.h"
#include "opencloc/dialogue/words.h"
#include "tests/data/tar_maker.h"

namespace opencloc {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Region region(const Box& box, const std::string& text, Json extra = Json::object()) {
  return {box, text, 1, "human", std::move(extra)};
}

const std::vector<std::string>& all_names() {
  static const std::vector<std::string> kNames = {"fox",  "bat",    "cup",  "red apple",
                                                  "boat", "ladder", "kite", "piano"};
  return kNames;
}

// Pictures of three different things side by side, by a fixed rule.
std::vector<Record> small_world(int pictures) {
  std::vector<Record> world;
  for (int i = 0; i < pictures; ++i) {
    Record record = fixtures::make_test_record(std::to_string(i), "");
    for (int k = 0; k < 3; ++k) {
      const auto x = static_cast<float>(k) / 3;
      const auto& name = all_names()[static_cast<size_t>(i * (k + 1) + 2 * k) % all_names().size()];
      const bool twice =
          std::ranges::any_of(record.regions, [&](const Region& r) { return r.text == name; });
      if (!twice) record.regions.push_back(region({x, 0.1f, x + 0.3f, 0.6f}, name));
    }
    record.caption = "a picture of " + record.regions[0].text;
    world.push_back(std::move(record));
  }
  return world;
}

Vocabulary vocabulary_of(const std::vector<Record>& world) {
  Vocabulary vocabulary;
  for (const Record& record : world) vocabulary.add(record);
  vocabulary.finish();
  return vocabulary;
}

struct Asked {
  Record record;
  Dialogue dialogue;
};

std::vector<Asked> ask_all(const std::vector<Record>& world, MakerOptions options,
                           SkipCounter* counted = nullptr) {
  const Vocabulary vocabulary = vocabulary_of(world);
  const Templates templates;
  DialogueMaker maker(vocabulary, templates, std::move(options));
  SkipCounter skips(0);
  std::vector<Asked> asked;
  for (size_t i = 0; i < world.size(); ++i) {
    for (auto& dialogue : maker.make(world[i], i, world[i].key, counted ? *counted : skips))
      asked.push_back({world[i], std::move(dialogue)});
  }
  return asked;
}

MakerOptions only(const std::string& task, int per_picture = 1) {
  MakerOptions options;
  options.mix = {{task, 1}};
  options.per_picture = per_picture;
  return options;
}

TEST(DialogueMaker, DependsOnTheSeedAlone) {
  const auto world = small_world(20);
  const auto text = [&world](uint64_t seed) {
    MakerOptions options;
    options.seed = seed;
    std::string all;
    for (const auto& asked : ask_all(world, options))
      all += dump_json(dialogue_json(asked.dialogue));
    return all;
  };
  EXPECT_EQ(text(1), text(1));
  EXPECT_NE(text(1), text(2));
}

TEST(DialogueMaker, EverythingItMakesIsSound) {
  const auto world = small_world(60);
  std::set<std::string> tasks;
  for (const auto& [record, dialogue] : ask_all(world, {.per_picture = 8})) {
    EXPECT_NO_THROW(check_dialogue(dialogue, record.key));
    tasks.insert(dialogue.task);
  }
  // Nothing is there twice in these pictures, so that all tasks but none are possible.
  EXPECT_EQ(tasks.size(), dialogue_tasks().size());
}

TEST(DialogueMaker, NoQuestionHoldsItsAnswer) {
  for (const auto& [record, dialogue] : ask_all(small_world(200), {.per_picture = 8})) {
    const Turn& turn = dialogue.turns[0];
    const bool offers =
        dialogue.task == "refer" || dialogue.task == "point" || dialogue.task == "relation";
    if (offers) {
      EXPECT_THAT(turn.ask, HasSubstr(turn.say));
      EXPECT_THAT(turn.ask, HasSubstr(dialogue.extra.at("other").get<std::string>()));
    } else {
      EXPECT_FALSE(holds_words(words_of(turn.ask), words_of(turn.say))) << turn.ask;
    }
    const bool refers =
        dialogue.task == "refer" || dialogue.task == "point" || dialogue.task == "name";
    if (!refers) {
      EXPECT_THAT(turn.ask, Not(HasSubstr("<"))) << "no place in the question";
    }
  }
}

TEST(DialogueMaker, ExistenceIsHalfYesInEveryKind) {
  std::map<std::string, std::pair<int, int>> counts;
  int yes_after_yes = 0;
  std::string before;
  const auto asked = ask_all(small_world(300), only("exists", 2));
  for (const auto& [record, dialogue] : asked) {
    const std::string& say = dialogue.turns[0].say;
    auto& [yes, no] = counts[dialogue.extra.at("absent")];
    (say == "Yes" ? yes : no) += 1;
    yes_after_yes += say == before ? 1 : 0;
    before = say;
    const auto name = dialogue.extra.at("name").get<std::string>();
    const bool there =
        std::ranges::any_of(record.regions, [&](const Region& r) { return r.text == name; });
    EXPECT_EQ(there, say == "Yes") << name;
  }
  ASSERT_EQ(counts.size(), 3U);
  for (const auto& [kind, count] : counts) {
    EXPECT_LE(std::abs(count.first - count.second), 1) << kind;
    EXPECT_GT(count.first, 50) << kind;
  }
  EXPECT_GT(yes_after_yes, 50) << "the order tells nothing";
}

TEST(DialogueMaker, AbsentNamesAreNotInAnyTextOfTheRecord) {
  auto world = small_world(50);
  for (Record& record : world) record.alt_text = "Kites and pianos on a BOAT";
  for (const auto& [record, dialogue] : ask_all(world, only("exists", 4))) {
    if (dialogue.turns[0].say == "Yes") continue;
    EXPECT_THAT(dialogue.extra.at("name").get<std::string>(),
                ::testing::AllOf(Not("kite"), Not("piano"), Not("boat")));
  }
}

TEST(DialogueMaker, TheTrueOneIsFirstHalfOfTheTimeOrByTurns) {
  const auto firsts = [](OfferOrder order) {
    MakerOptions options = only("refer");
    options.order = order;
    std::string result;
    for (const auto& [record, dialogue] : ask_all(small_world(200), options)) {
      const Turn& turn = dialogue.turns[0];
      const auto other = dialogue.extra.at("other").get<std::string>();
      result += turn.ask.rfind(" " + turn.say) < turn.ask.rfind(" " + other) ? '1' : '0';
    }
    return result;
  };
  const std::string random = firsts(OfferOrder::kRandom);
  EXPECT_NEAR(std::ranges::count(random, '1'), 100, 30);
  EXPECT_THAT(random, HasSubstr("11"));
  const std::string turns = firsts(OfferOrder::kAlternating);
  EXPECT_EQ(turns.substr(0, 6), "101010");
  EXPECT_THAT(turns, Not(HasSubstr("11")));
}

TEST(DialogueMaker, PointsLieInTheirBoxes) {
  const auto asked = ask_all(small_world(100), only("point", 2));
  ASSERT_GT(asked.size(), 100U);
  for (const auto& [record, dialogue] : asked) {
    ASSERT_EQ(dialogue.points.size(), 1U);
    const PicturePoint point = dialogue.points[0];
    const Box& box = dialogue.boxes[0];
    EXPECT_TRUE(point.x >= box.x0 && point.x <= box.x1 && point.y >= box.y0 && point.y <= box.y1);
    EXPECT_THAT(dialogue.turns[0].ask, HasSubstr("<point0>"));
  }
}

TEST(DialogueMaker, GroundsTheRegionItNames) {
  for (const auto& [record, dialogue] : ask_all(small_world(100), only("ground_many", 2))) {
    const auto phrases = dialogue.extra.at("phrases").get<std::vector<std::string>>();
    ASSERT_EQ(phrases.size(), dialogue.boxes.size());
    ASSERT_GE(phrases.size(), 2U);
    for (size_t i = 0; i < phrases.size(); ++i) {
      EXPECT_THAT(dialogue.turns[0].say, HasSubstr(phrases[i] + " <box" + std::to_string(i) + ">"));
      const auto& regions = record.regions;
      const auto found = std::ranges::find(regions, phrases[i], &Region::text);
      ASSERT_NE(found, regions.end());
      EXPECT_EQ(found->box, dialogue.boxes[i]);
    }
  }
}

TEST(DialogueMaker, WhatFitsTwoRegionsIsNotAskedFor) {
  Record record = fixtures::make_test_record("1", "");
  record.regions = {region({0, 0, 0.2f, 0.2f}, "red apple"), region({0.3f, 0, 0.5f, 0.2f}, "apple"),
                    region({0.6f, 0, 0.8f, 0.2f}, "fox"), region({0, 0.5f, 0.2f, 0.9f}, "fox")};
  const auto asked = ask_all({record}, only("ground", 10));
  ASSERT_EQ(asked.size(), 1U) << "'apple' and 'fox' are there twice";
  EXPECT_THAT(asked[0].dialogue.turns[0].say, HasSubstr("red apple <box0>"));
}

TEST(DialogueMaker, CountsWhatCanBeCounted) {
  Record record = fixtures::make_test_record("1", "");
  record.regions = {
      region({0, 0, 0.2f, 0.2f}, "fox"),           region({0.3f, 0, 0.5f, 0.2f}, "fox"),
      region({0.6f, 0, 0.8f, 0.2f}, "fox"),        region({0, 0.5f, 0.2f, 0.9f}, "bat"),
      region({0.4f, 0.5f, 0.6f, 0.9f}, "cup"),     region({0.4f, 0.5f, 0.6f, 0.88f}, "cup"),
      region({0.7f, 0.5f, 0.8f, 0.6f}, "red hat"), region({0.8f, 0.5f, 0.9f, 0.6f}, "hat")};
  std::map<std::string, std::string> answers;
  for (const auto& [ignored, dialogue] : ask_all({record}, only("count", 10)))
    answers[dialogue.extra.at("name")] = dialogue.turns[0].say;
  // Two boxes of one cup, and a red hat that may be one of the hats, have no number.
  for (const auto& [name, say] : answers) EXPECT_EQ(say, name == "fox" ? "3" : "1") << name;
  EXPECT_FALSE(answers.contains("cup"));
  EXPECT_FALSE(answers.contains("hat"));
  EXPECT_TRUE(answers.contains("fox"));
}

TEST(DialogueMaker, RelationsAreTrue) {
  const auto asked = ask_all(small_world(100), only("relation", 2));
  ASSERT_GT(asked.size(), 50U);
  std::map<std::string, int> said;
  for (const auto& [record, dialogue] : asked) {
    const std::string& ask = dialogue.turns[0].ask;
    std::vector<std::pair<size_t, const Region*>> named;
    for (const Region& one : record.regions) {
      const size_t at = ask.find(" " + one.text + " ");
      const size_t end = ask.find(" " + one.text + "?");
      if (at != std::string::npos) named.emplace_back(at, &one);
      if (end != std::string::npos) named.emplace_back(end, &one);
    }
    std::ranges::sort(named);
    ASSERT_EQ(named.size(), 2U) << ask;
    const Box &a = named[0].second->box, &b = named[1].second->box;
    const std::string& say = dialogue.turns[0].say;
    ++said[say];
    EXPECT_EQ(say, a.x1 < b.x0 ? "left of" : "right of") << ask;
  }
  EXPECT_GT(said["left of"], 15);
  EXPECT_GT(said["right of"], 15);
}

TEST(DialogueMaker, TextsWithMarksAreLeftOutAndCounted) {
  auto world = small_world(10);
  world[0].regions = {region({0, 0, 0.5f, 0.5f}, "fox <image>"),
                      region({0.5f, 0, 1, 0.5f}, "[0.1, 0.2]"), region({0, 0.5f, 1, 1}, "bat")};
  world[0].caption = "<box0> of a fox";
  SkipCounter skips(0);
  for (const auto& [record, dialogue] : ask_all(world, {.per_picture = 20}, &skips)) {
    if (record.key != "0") continue;
    EXPECT_THAT(dialogue.turns[0].ask + dialogue.turns[0].say, Not(HasSubstr("image>")));
    EXPECT_NE(dialogue.task, "caption");
  }
  EXPECT_EQ(skips.count(skip::kReserved), 3);
  EXPECT_THAT(skips.first_names(skip::kReserved)[0], HasSubstr("fox <image>"));
}

TEST(DialogueMaker, LowScoresAndEmptyTextsDoNotExist) {
  Record record = fixtures::make_test_record("1", "");
  record.regions = {region({0, 0, 0.5f, 0.5f}, "fox"), region({0.5f, 0, 1, 0.5f}, "")};
  record.regions[0].score = 0.2f;
  MakerOptions options;
  options.min_score = 0.3f;
  EXPECT_TRUE(ask_all({record}, options).empty());
  options.min_score = 0.1f;
  EXPECT_FALSE(ask_all({record}, options).empty());
}

TEST(DialogueMaker, ScenesNamesAndPhrasesAreUsed) {
  Record record = fixtures::make_test_record("1", "");
  record.regions = {
      region({0, 0, 0.5f, 0.5f}, "apple", {{"name", "apple"}, {"phrase", "small reddish apple"}}),
      region({0.5f, 0.5f, 1, 1}, "apple", {{"name", "apple"}, {"phrase", "large apple"}})};
  for (const auto& [ignored, dialogue] : ask_all({record}, only("ground", 4)))
    EXPECT_THAT(dialogue.turns[0].ask,
                HasSubstr(dialogue.boxes[0].x0 == 0 ? "small reddish apple" : "large apple"));
  EXPECT_EQ(ask_all({record}, only("name"))[0].dialogue.turns[0].say, "apple");
}

TEST(AbsentName, TogetherMeansOfTheSameGroupOrPicture) {
  std::vector<Record> world;
  const auto add = [&world](std::vector<std::pair<std::string, std::string>> named) {
    Record record = fixtures::make_test_record(std::to_string(world.size()), "");
    for (const auto& [name, group] : named) {
      record.regions.push_back(
          region({0, 0, 1, 1}, name, group.empty() ? Json::object() : Json{{"group", group}}));
    }
    world.push_back(std::move(record));
  };
  add({{"fox", "animals"}, {"piano", ""}});
  add({{"bat", "animals"}});
  add({{"boat", "travel"}});
  add({{"piano", ""}, {"violin", ""}});
  const Vocabulary vocabulary = vocabulary_of(world);
  const auto absent = [&](const std::string& name) {
    LabelledPicture scene;
    scene.things = {{{0, 0, 1, 1}, name, name, stems_of(name), stems_of(name)}};
    scene.stems = {stems_of(name)};
    std::string kind = "together";
    Rng rng(1);
    return absent_name(scene, vocabulary, kind, rng).value() + ", " + kind;
  };
  EXPECT_EQ(absent("fox"), "bat, together");
  EXPECT_THAT(absent("violin"), "piano, together");
  EXPECT_THAT(absent("boat"), HasSubstr(", random")) << "it has no relatives";
}

}  // namespace
}  // namespace opencloc

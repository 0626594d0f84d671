#include "opencloc/label/phrases.h"

#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/files.h"
#include "opencloc/label/sentences.h"

namespace opencloc {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using Texts = std::vector<std::string>;

const PhraseExtractor& nouns() {
  static const auto extractor = noun_phrases();
  return *extractor;
}

Texts phrases_of(std::string_view caption, PhraseCounts* counts = nullptr) {
  PhraseCounts own;
  return nouns().extract(caption, counts != nullptr ? *counts : own);
}

struct Score {
  int both = 0, only_found = 0, only_marked = 0;
  double precision() const { return static_cast<double>(both) / (both + only_found); }
  double recall() const { return static_cast<double>(both) / (both + only_marked); }
};

Score score_of(const std::string& split) {
  const auto path =
      std::filesystem::path(OPENCLOC_SOURCE_DIR) / "tests" / "label" / "phrases_gold.jsonl";
  Score score;
  std::istringstream lines(read_file(path));
  for (std::string line; std::getline(lines, line);) {
    const Json item = parse_json(line, path.string());
    if (item["split"] != split) continue;
    std::set<std::string> marked, found;
    for (const auto& phrase : item["phrases"]) marked.insert(phrase.get<std::string>());
    for (const auto& phrase : phrases_of(item["text"].get<std::string>())) found.insert(phrase);
    for (const auto& phrase : found) ++(marked.contains(phrase) ? score.both : score.only_found);
    for (const auto& phrase : marked) score.only_marked += found.contains(phrase) ? 0 : 1;
  }
  return score;
}

TEST(Phrases, AgreeWithCaptionsMarkedByHand) {
  for (const std::string split : {"tuning", "held-out"}) {
    const Score score = score_of(split);
    std::printf("%s: precision %.4f recall %.4f\n", split.c_str(), score.precision(),
                score.recall());
    EXPECT_GE(score.precision(), 0.92) << split;
    EXPECT_GE(score.recall(), 0.92) << split;
  }
}

TEST(Phrases, KeepAttributesNumbersAndPlurals) {
  EXPECT_THAT(phrases_of("A red double-decker bus beside two tall cyclists."),
              ElementsAre("red double-decker bus", "two tall cyclists"));
  EXPECT_THAT(phrases_of("a black and white dog with a small, wet nose"),
              ElementsAre("black and white dog", "small wet nose"));
  EXPECT_THAT(phrases_of("three parked cars near a snow covered hill"),
              ElementsAre("three parked cars", "snow covered hill"));
}

TEST(Phrases, LeaveOutWhatIsOfTheWeb) {
  PhraseCounts counts;
  EXPECT_THAT(phrases_of("red sports car stock photo - free download", &counts),
              ElementsAre("red sports car"));
  EXPECT_THAT(phrases_of("IMG_2041.JPG www.example.com 1920x1080", &counts), IsEmpty());
  EXPECT_EQ(counts.codes, 3);
  EXPECT_EQ(counts.captions, 2);
  EXPECT_EQ(counts.without_phrase, 1);
  EXPECT_GE(counts.dropped[dropped::kWeb], 1);
}

TEST(Phrases, GroupsAreWhatTheyAreOf) {
  PhraseCounts counts;
  EXPECT_THAT(phrases_of("a large group of people in front of a pile of old books", &counts),
              ElementsAre("people", "old books"));
  EXPECT_EQ(counts.dropped[dropped::kGroup], 2);
  EXPECT_EQ(counts.dropped[dropped::kStop], 1);
}

TEST(Phrases, NearDuplicatesAreOne) {
  PhraseCounts counts;
  EXPECT_THAT(phrases_of("A brown dog and two cats. The brown dogs see the double-decker bus and "
                         "another double decker bus.",
                         &counts),
              ElementsAre("brown dog", "two cats", "double-decker bus"));
  EXPECT_EQ(counts.dropped[dropped::kDuplicate], 2);
}

TEST(Phrases, AtMostSoMany) {
  std::string caption;
  for (const char* color : {"red", "blue", "green", "black", "white"}) {
    for (const char* thing : {"car", "bus", "house", "tree", "chair"})
      caption += std::string("a ") + color + " " + thing + " stands there. ";
  }
  PhraseCounts counts;
  EXPECT_THAT(phrases_of(caption, &counts), SizeIs(20));
  EXPECT_EQ(counts.dropped[dropped::kTooMany], 5);
}

TEST(Phrases, NeverLoseACaption) {
  PhraseCounts counts;
  // No parse and no word of the dictionary; no noun at all; a sentence too long to parse.
  EXPECT_THAT(phrases_of("zwei rote häuser", &counts), Not(IsEmpty()));
  EXPECT_THAT(phrases_of("running quickly", &counts), SizeIs(1));
  EXPECT_EQ(counts.fallback, 1);
  std::string endless;
  for (int i = 0; i < 60; ++i) endless += "a dog beside a cat and ";
  EXPECT_THAT(phrases_of(endless, &counts), ElementsAre("dog", "cat"));
  EXPECT_EQ(counts.tagger.too_long, 1);
}

TEST(Phrases, AnyBytesAreACaption) {
  std::string noise;
  for (int i = 0; i < 20000; ++i) noise += static_cast<char>((i * 7919 + i / 256) % 256);
  for (const std::string& text :
       {std::string(), std::string("   \n\t "), std::string("\0\0\0", 3),
        std::string("\xff\xfe\xc3"), std::string(100'000, 'a'), std::string(5000, '-'),
        std::string("''''s 's ' s's"), std::string("[dog] {cat} (bus.n) <wall>"),
        std::string("☃ 🐶 犬と猫"), noise}) {
    const auto phrases = phrases_of(text);
    EXPECT_LE(phrases.size(), 20U);
    for (const auto& phrase : phrases) EXPECT_LE(phrase.size(), 8 * 41U);
  }
}

TEST(Phrases, TheSameFromAnyThread) {
  const Texts captions = {"A man rides a brown horse along the beach at sunset .",
                          "two women selling flowers at a busy street market",
                          "The kitchen has a steel sink and a wooden counter."};
  std::vector<Texts> expected;
  for (const auto& caption : captions) expected.push_back(phrases_of(caption));
  std::vector<std::thread> threads;
  std::atomic<int> different = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 30; ++i) {
        const auto at = static_cast<size_t>(i) % captions.size();
        different += phrases_of(captions[at]) == expected[at] ? 0 : 1;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(different, 0);
}

TEST(Ngrams, AllOfThemButStopWords) {
  PhraseCounts counts;
  const auto extractor = alt_text_ngrams({.longest = 3});
  EXPECT_THAT(extractor->extract("a red bus, the photo", counts),
              ElementsAre("red", "bus", "a red", "red bus", "a red bus"));
  EXPECT_THAT(alt_text_ngrams({.longest = 10, .most = 7})
                  ->extract("one two red car in the big town", counts),
              SizeIs(7));
}

TEST(Sentences, Words) {
  SplitCounts counts;
  EXPECT_THAT(split_sentences("The man's hat, a DSC0012.jpg.\nTwo dogs!", counts),
              ElementsAre(ElementsAre("the", "man", "'s", "hat", ",", "a", "|"),
                          ElementsAre("two", "dogs")));
  EXPECT_EQ(counts.codes, 1);
  EXPECT_TRUE(is_code("1920x1080"));
  EXPECT_TRUE(is_code("750ml"));
  EXPECT_FALSE(is_code("2015"));
  EXPECT_FALSE(is_code("double-decker"));
}

}  // namespace
}  // namespace opencloc

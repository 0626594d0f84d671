#include "opencloc/data/look/label_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace opencloc {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Record with_texts() {
  Record record;
  record.caption = "c";
  record.captions = {"", "b"};
  record.alt_text = "a";
  return record;
}

TEST(LabelOutput, TheChosenTextIsTheOneTheCaptionStageNamed) {
  Record record = with_texts();
  EXPECT_EQ(chosen_text(record).from, "caption");
  record.extra["vesl"] = parse_json(R"({"caption": {"from": "captions", "number": 1}})", "");
  EXPECT_EQ(chosen_text(record).text, "b");
  EXPECT_EQ(chosen_text(record).from, "captions");
  EXPECT_EQ(chosen_text(record).number, 1u);
  record.extra["vesl"]["caption"]["from"] = "alt_text";
  EXPECT_EQ(chosen_text(record).text, "a");
}

TEST(LabelOutput, WithoutAWordOfTheStageItIsTheImageText) {
  Record record = with_texts();
  for (const char* odd : {"7", R"({"caption": 1})", R"({"caption": {"from": 3}})",
                          R"({"caption": {"from": "captions", "number": 9}})",
                          R"({"caption": {"from": "captions", "number": "1"}})"}) {
    record.extra["vesl"] = parse_json(odd, "");
    EXPECT_EQ(chosen_text(record).text, image_text(record)) << odd;
  }
  record.caption.clear();
  EXPECT_EQ(chosen_text(record).text, "b");
  EXPECT_EQ(chosen_text(record).number, 1u);
  record.captions.clear();
  EXPECT_EQ(chosen_text(record).from, "alt_text");
  record.alt_text.clear();
  EXPECT_EQ(chosen_text(record).from, "");
}

TEST(LabelOutput, PhrasesAndCandidatesMustBeOfTheirForm) {
  Record record;
  EXPECT_THAT(stored_phrases(record, "x"), IsEmpty());
  EXPECT_THAT(stored_candidates(record, "x"), IsEmpty());
  record.extra["phrases"] = {"a", "b"};
  record.extra["candidates"] =
      parse_json(R"([{"box": [0, 0, 0.5, 2], "text": "a", "score": 0.25}])", "");
  EXPECT_THAT(stored_phrases(record, "x"), ElementsAre("a", "b"));
  ASSERT_EQ(stored_candidates(record, "x").size(), 1u);
  EXPECT_EQ(stored_candidates(record, "x")[0].box, (Box{0, 0, 0.5f, 1}));
  EXPECT_EQ(stored_candidates(record, "x")[0].score, 0.25f);
  record.extra["phrases"] = Json::array({1});
  record.extra["candidates"] = parse_json(R"([{"box": [0, 0]}])", "");
  EXPECT_THROW(stored_phrases(record, "x"), BadSample);
  EXPECT_THROW(stored_candidates(record, "x"), BadSample);
}

}  // namespace
}  // namespace opencloc

#include "opencloc/data/shard/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace opencloc {
namespace {

Record parsed(const std::string& json) {
  Record record;
  parse_record_json(json, "shard.tar#1", record);
  return record;
}

std::string reason(const std::string& json) {
  try {
    parsed(json);
  } catch (const BadSample& bad) {
    EXPECT_THAT(bad.what(), ::testing::HasSubstr("shard.tar#1"));
    EXPECT_EQ(bad.exit_code(), 2);
    return bad.reason();
  }
  return "good";
}

TEST(RecordJson, ReadsEveryField) {
  const Record record = parsed(R"({"caption": "a red bus", "captions": ["a bus", "red bus"],
    "alt_text": "london 2019", "label": "bus", "url": "http://x",
    "regions": [{"box": [0.12, 0.3, 0.58, 0.91], "text": "red bus", "score": 0.83,
                 "source": "owlv2", "track": 7}]})");
  EXPECT_EQ(record.caption, "a red bus");
  EXPECT_THAT(record.captions, ::testing::ElementsAre("a bus", "red bus"));
  EXPECT_EQ(record.alt_text, "london 2019");
  EXPECT_EQ(record.label, "bus");
  ASSERT_EQ(record.regions.size(), 1u);
  EXPECT_EQ(record.regions[0].box, (Box{0.12f, 0.3f, 0.58f, 0.91f}));
  EXPECT_EQ(record.regions[0].text, "red bus");
  EXPECT_FLOAT_EQ(record.regions[0].score, 0.83f);
  EXPECT_EQ(record.regions[0].source, "owlv2");
  EXPECT_EQ(record.regions[0].extra["track"], 7);
  EXPECT_EQ(record.extra["url"], "http://x");
}

TEST(RecordJson, RewritingChangesNothing) {
  const std::string text =
      R"({"caption":"c","captions":["d"],"alt_text":"a","label":"l","regions":[{"box":[0.12,0.3,0.58,0.91],"text":"t","score":0.83,"source":"s","z":1,"a":[2]}],"zeta":{"k":null},"alpha":1.5})";
  EXPECT_EQ(dump_json(record_json(parsed(text))), text);
}

TEST(RecordJson, KeepsWhatItDoesNotUnderstand) {
  const Record record = parsed(R"({"label": 17, "captions": "one", "caption": null, "n": null})");
  EXPECT_FALSE(record.label.has_value());
  EXPECT_TRUE(record.caption.empty());
  const Json out = record_json(record);
  EXPECT_EQ(out["label"], 17);
  EXPECT_EQ(out["captions"], "one");
  EXPECT_TRUE(out.contains("n"));
}

TEST(RecordJson, KeyTxtWinsOverAltTextOfTheJson) {
  Record record;
  record.alt_text = "from KEY.txt";
  parse_record_json(R"({"alt_text": "from KEY.json"})", "x", record);
  EXPECT_EQ(record.alt_text, "from KEY.txt");
}

TEST(RecordJson, ClipsBoxesThatStickOut) {
  const Record record = parsed(R"({"regions": [{"box": [-0.5, 0.2, 0.5, 1.5], "text": "t"}]})");
  EXPECT_EQ(record.regions[0].box, (Box{0, 0.2f, 0.5f, 1}));
}

TEST(RecordJson, NamesTheReasonOfBrokenSamples) {
  EXPECT_EQ(reason("{"), skip::kBadJson);
  EXPECT_EQ(reason("[]"), skip::kBadJson);
  EXPECT_EQ(reason("\xff"), skip::kBadJson);
  EXPECT_EQ(reason(R"({"regions": null, "caption": null})"), "good");
}

// What one bad value costs: nothing but itself.
std::vector<std::string> problems(const std::string& json) {
  std::vector<std::string> reasons;
  for (const auto& problem : parsed(json).problems) reasons.emplace_back(problem.reason);
  return reasons;
}

TEST(RecordJson, ABadRegionCostsItselfAlone) {
  using ::testing::ElementsAre;
  const std::string box(skip::kBadBox), empty(skip::kEmptyBox), json(skip::kBadJson);
  EXPECT_THAT(problems(R"({"regions": 5})"), ElementsAre(json));
  EXPECT_THAT(problems(R"({"regions": [5]})"), ElementsAre(json));
  EXPECT_THAT(problems(R"({"regions": [{"text": "t"}]})"), ElementsAre(box));
  EXPECT_THAT(problems(R"({"regions": [{"box": [0, 0, 1], "text": "t"}]})"), ElementsAre(box));
  EXPECT_THAT(problems(R"({"regions": [{"box": [0, 0, 1, "1"], "text": "t"}]})"), ElementsAre(box));
  EXPECT_THAT(problems(R"({"regions": [{"box": [0, 0, 1, 1e99], "text": "t"}]})"),
              ElementsAre(box));
  EXPECT_THAT(problems(R"({"regions": [{"box": [0, 0, 1, NaN], "text": "t"}]})"), ElementsAre(box));
  EXPECT_THAT(problems(R"({"regions": [{"box": [0.5, 0, 0.5, 1], "text": "t"}]})"),
              ElementsAre(empty));
  EXPECT_THAT(problems(R"({"regions": [{"box": [0.6, 0, 0.5, 1], "text": "t"}]})"),
              ElementsAre(empty));
  EXPECT_THAT(problems(R"({"regions": [{"box": [1.2, 0, 1.5, 1], "text": "t"}]})"),
              ElementsAre(empty));
  const Record record = parsed(
      R"({"caption": "c", "regions": [{"box": [0, 0, 1]}, {"box": [0, 0, 1, 1], "text": "t"}, 7]})");
  EXPECT_EQ(record.caption, "c");
  ASSERT_EQ(record.regions.size(), 1u);
  EXPECT_EQ(record.regions[0].text, "t");
  EXPECT_EQ(record.problems.size(), 2u);
}

TEST(RecordJson, CaptionsComeInManyForms) {
  using ::testing::ElementsAre;
  const Record list = parsed(R"({"caption": ["a dog", "an animal"]})");
  EXPECT_EQ(list.caption, "a dog");
  EXPECT_THAT(list.captions, ElementsAre("a dog", "an animal"));
  EXPECT_EQ(parsed(R"({"caption": 1984})").caption, "1984");
  EXPECT_EQ(parsed(R"({"caption": NaN})").caption, "");
  EXPECT_THAT(problems(R"({"caption": NaN, "captions": ["a", null, 3]})"), ElementsAre());
  EXPECT_THAT(problems(R"({"caption": {"en": "a dog"}})"),
              ElementsAre(std::string(skip::kBadText)));
  EXPECT_EQ(parsed("{\"caption\": \"caf\xe9\", \"label\": \"x\"}").label, "x");
  EXPECT_THAT(problems("{\"caption\": \"caf\xe9\"}"), ElementsAre(std::string(skip::kNotUtf8)));
  EXPECT_EQ(parsed("\xef\xbb\xbf{\"caption\": \"c\"}").caption, "c");
  EXPECT_EQ(parsed(R"({"caption": "a \ud83d cat"})").caption, "a \xef\xbf\xbd cat");
}

TEST(RecordText, KeyTxtMayBeWrittenInManyWays) {
  const auto text = [](const std::string& bytes) {
    Record record;
    set_alt_text(bytes, record);
    return record.alt_text + (record.problems.empty() ? "" : "!");
  };
  EXPECT_EQ(text("dog\r\n"), "dog");
  EXPECT_EQ(text("\xef\xbb\xbf"
                 "dog"),
            "dog");
  EXPECT_EQ(text(std::string("\xff\xfe"
                             "d\0o\0g\0",
                             8)),
            "dog");
  EXPECT_EQ(text("caf\xe9"), "!");
}

TEST(RecordText, CaptionThenCaptionsThenAltText) {
  Record record;
  EXPECT_EQ(image_text(record), "");
  record.alt_text = "alt";
  EXPECT_EQ(image_text(record), "alt");
  record.captions = {"", "second"};
  EXPECT_EQ(image_text(record), "second");
  record.caption = "first";
  EXPECT_EQ(image_text(record), "first");
}

TEST(Keys, AreMadeSafe) {
  EXPECT_EQ(safe_key("a/b.c"), "a/b_c");
  EXPECT_EQ(safe_key("/etc/passwd"), "etc/passwd");
  EXPECT_EQ(safe_key("../../x"), "x");
  EXPECT_EQ(safe_key("./a//b/./c"), "a/b/c");
  EXPECT_EQ(safe_key("a\nb\x1b[31m"), "a_b_[31m");
  EXPECT_EQ(safe_key(""), "_");
  EXPECT_EQ(safe_key(".."), "_");
  EXPECT_EQ(safe_key("été"), "été");
}

TEST(Keys, SplitAtTheFirstDotOfTheBaseName) {
  std::string key;
  std::string extension;
  ASSERT_TRUE(split_member_name("d.1/0001.seg.PNG", key, extension));
  EXPECT_EQ(key, "d.1/0001");
  EXPECT_EQ(extension, "seg.png");
  EXPECT_FALSE(split_member_name("README", key, extension));
  EXPECT_FALSE(split_member_name("a/.hidden", key, extension));
  EXPECT_FALSE(split_member_name("a.d/b", key, extension));
  EXPECT_FALSE(split_member_name("a.", key, extension));
  EXPECT_FALSE(split_member_name("", key, extension));
}

}  // namespace
}  // namespace opencloc

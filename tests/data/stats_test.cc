#include "opencloc/data/look/stats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/data/shard/shard_writer.h"
#include "tests/data/tar_maker.h"

namespace opencloc {
namespace {

using fixtures::make_test_record;
using fixtures::TempFolder;
using ::testing::HasSubstr;

TEST(Stats, CountsWhatThereIs) {
  const TempFolder folder;
  const std::string path = (folder / "x.tar").string();
  {
    ShardWriter writer(path);
    Record full = make_test_record("1", "a red bus");
    full.label = "bus";
    for (const char* text : {"bus", "red bus", ""}) {
      full.regions.push_back({{0, 0, 1, 1}, text, 1, "human", Json::object()});
    }
    writer.write(full);
    writer.write(make_test_record("2", "a red bus"));
    writer.write(make_test_record("3", ""));
    Record broken = make_test_record("4");
    broken.image = "no picture";
    writer.write(broken);
    writer.commit();
  }
  SkipCounter skips(0);
  const DataStats stats = collect_stats({path}, {.threads = 2}, skips);
  EXPECT_EQ(stats.images, 3);
  EXPECT_EQ(stats.images_with_text, 2);
  EXPECT_EQ(stats.images_with_regions, 1);
  EXPECT_EQ(stats.images_with_label, 1);
  EXPECT_EQ(stats.regions, 3);
  EXPECT_EQ(stats.distinct_texts, 1);
  EXPECT_EQ(stats.distinct_region_texts, 2);
  EXPECT_EQ(skips.count(skip::kBadImage), 1);
  const Json json = stats.json();
  EXPECT_DOUBLE_EQ(json["regions_per_image"], 1.0);
  EXPECT_DOUBLE_EQ(json["image_text_tokens"], 3.0);
  EXPECT_DOUBLE_EQ(json["region_text_tokens"], 1.5);
  EXPECT_DOUBLE_EQ(json["pixels_per_image"], 16);
  EXPECT_EQ(json["labels"]["bus"], 1);
  EXPECT_EQ(json["tokenizer"], "words");
  EXPECT_THAT(stats.table(), HasSubstr("regions/image               1.00"));

  const DataStats undecoded = collect_stats({path}, {.decode = false}, skips);
  EXPECT_EQ(undecoded.images, 4);
  EXPECT_EQ(undecoded.pixels, 0);
}

TEST(Stats, CountsAllCaptionsAndThePhrases) {
  const TempFolder folder;
  const std::string path = (folder / "x.tar").string();
  ShardWriter writer(path);
  Record several = make_test_record("1", "a red bus");
  several.captions = {"a red bus", "a bus of london town"};
  several.extra["phrases"] = {"red bus", "london"};
  writer.write(several);
  Record recaptioned = make_test_record("2", "by the captioner");
  recaptioned.captions = {"older"};
  recaptioned.extra["phrases"] = "not our form";
  writer.write(recaptioned);
  writer.commit();
  SkipCounter skips(0);
  const DataStats stats = collect_stats({path}, {}, skips);
  EXPECT_EQ(skips.total(), 0);
  EXPECT_EQ(stats.captions, 4);
  EXPECT_EQ(stats.caption_tokens, 3 + 5 + 3 + 1);
  EXPECT_EQ(stats.phrases, 2);
  const Json json = stats.json();
  EXPECT_DOUBLE_EQ(json["phrases_per_image"], 1.0);
  EXPECT_DOUBLE_EQ(json["phrase_tokens"], 1.5);
  EXPECT_DOUBLE_EQ(json["caption_tokens"], 3.0);
  EXPECT_THAT(stats.table(), HasSubstr("captions                    4 (3.0 tokens)"));
  EXPECT_THAT(stats.table(), HasSubstr("phrases/image               1.00"));
  EXPECT_THAT(stats.markdown("a|b"), HasSubstr("\n| a\\|b | 2 | - | 3.0 | - | 1.00 | 1.5 |\n"));
}

TEST(Stats, OfNothing) {
  const TempFolder folder;
  const std::string path = (folder / "x.tar").string();
  ShardWriter(path).commit();
  SkipCounter skips;
  const DataStats stats = collect_stats({path}, {}, skips);
  EXPECT_EQ(stats.images, 0);
  EXPECT_DOUBLE_EQ(stats.json()["regions_per_image"], 0.0);
  EXPECT_FALSE(stats.table().empty());
  EXPECT_THAT(stats.markdown("none"), HasSubstr("| none | 0 | - | - | - | - | - |"));
}

class EveryWordIsTwo : public Tokenizer {
 public:
  std::vector<int32_t> encode(std::string_view text) const override {
    return std::vector<int32_t>(static_cast<size_t>(2 * count_words(text)));
  }
  int64_t vocab_size() const override { return 3; }
  std::optional<int32_t> start_id() const override { return std::nullopt; }
  int32_t end_id() const override { return 1; }
  int32_t pad_id() const override { return 0; }
  const std::vector<TokenizerFile>& files() const override { return files_; }

 private:
  std::vector<TokenizerFile> files_;
};

TEST(Stats, CountsATokenizersTokens) {
  const TempFolder folder;
  const std::string path = (folder / "x.tar").string();
  ShardWriter writer(path);
  writer.write(make_test_record("1", "a red bus"));
  writer.commit();
  const EveryWordIsTwo tokenizer;
  SkipCounter skips;
  const auto stats =
      collect_stats({path}, {.tokenizer = &tokenizer, .tokenizer_name = "two"}, skips);
  EXPECT_EQ(stats.image_tokens, 6);
  EXPECT_EQ(stats.tokenizer, "two");
}

TEST(CountWords, WordsAndMarks) {
  EXPECT_EQ(count_words(""), 0);
  EXPECT_EQ(count_words("  a  cat's hat. "), 6);
  EXPECT_EQ(count_words("été 2019"), 2);
}

}  // namespace
}  // namespace opencloc

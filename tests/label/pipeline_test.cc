#include "opencloc/label/pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/files.h"
#include "opencloc/base/temporary.h"
#include "opencloc/data/shard/shard_writer.h"
#include "opencloc/label/caption_stage.h"
#include "opencloc/label/detector.h"
#include "opencloc/label/phrase_stage.h"
#include "opencloc/label/select.h"
#include "tests/data/tar_maker.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::make_test_record;
using fixtures::TarEntry;
using fixtures::TempFolder;
using fixtures::tiny_ppm;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// One box a phrase, one below the other; the score falls with the place.
class FakeDetector : public Detector {
 public:
  std::vector<std::vector<Candidate>> detect(std::span<const DetectorQuery> queries,
                                             float threshold) override {
    if (fail_after_-- == 0) throw Error::failed("the detector broke");
    std::vector<std::vector<Candidate>> found;
    for (const auto& query : queries) {
      EXPECT_GT(query.image->width, 0);
      std::vector<Candidate> list;
      float at = 0;
      for (const auto& phrase : query.phrases) {
        const float score = 0.9f - at;
        if (score >= threshold) list.push_back({{0, at, 1, at + 0.2f}, phrase, score});
        at += 0.2f;
      }
      found.push_back(std::move(list));
    }
    return found;
  }
  std::string kind() const override { return "fake"; }
  Json config() const override { return {{"model", "fake-1"}}; }
  int fail_after_ = -1;
};

std::vector<std::unique_ptr<Stage>> make_stages(const std::vector<std::string>& names,
                                                float threshold = 0.1f, int fail_after = -1) {
  std::vector<std::unique_ptr<Stage>> stages;
  for (const auto& name : names) {
    if (name == "caption") stages.push_back(caption_stage({}));
    if (name == "phrases") stages.push_back(phrase_stage(noun_phrases(), 2));
    if (name == "detect") {
      auto detector = std::make_unique<FakeDetector>();
      detector->fail_after_ = fail_after;
      stages.push_back(detect_stage(std::move(detector), threshold));
    }
    if (name == "select") stages.push_back(select_stage({.source = "fake"}));
  }
  return stages;
}

const std::vector<std::string> kAllStages = {"caption", "phrases", "detect", "select"};

class Pipeline : public ::testing::Test {
 protected:
  // Shards of `samples` records each.
  void write_shards(int shards, int samples) {
    fs::create_directories(folder_ / "in");
    for (int s = 0; s < shards; ++s) {
      const std::string name = "0000" + std::to_string(s) + ".tar";
      ShardWriter writer(folder_ / "in" / name);
      for (int i = 0; i < samples; ++i) {
        Record record = make_test_record("s" + std::to_string(s) + "k" + std::to_string(i),
                                         "a red bus beside two brown dogs");
        record.alt_text = "bus.jpg";
        record.extra["url"] = "http://example.com";
        record.others = {{"cls", "17"}};
        writer.write(record);
      }
      writer.commit();
    }
  }
  LabelOptions options(const std::string& out = "out", const std::string& in = "in") const {
    LabelOptions options;
    options.shards = expand_glob((folder_ / in).string());
    options.out = folder_ / out;
    options.batch_size = 3;
    options.threads = 2;
    return options;
  }
  LabelSummary label(const LabelOptions& options,
                     const std::vector<std::string>& names = kAllStages, float threshold = 0.1f,
                     int fail_after = -1) const {
    auto stages = make_stages(names, threshold, fail_after);
    return label_shards(options, stages);
  }
  std::string error_of(const LabelOptions& options, float threshold = 0.1f) const {
    try {
      label(options, kAllStages, threshold);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
  std::vector<Record> records(const fs::path& shard) const {
    SkipCounter skips;
    ShardReader reader(shard.string(), skips, {.keep_other_members = true});
    std::vector<Record> all;
    Record record;
    while (reader.next(record)) all.push_back(record);
    return all;
  }
  TempFolder folder_;
};

TEST_F(Pipeline, EverySampleGetsRegionsAndKeepsTheRest) {
  write_shards(2, 7);
  const auto summary = label(options());
  EXPECT_EQ(summary.shards, 2);
  EXPECT_EQ(summary.images, 14);
  EXPECT_EQ(summary.regions, 28);
  const auto all = records(folder_ / "out" / "00001.tar");
  ASSERT_EQ(all.size(), 7U);
  const Record& last = all.back();
  EXPECT_EQ(last.key, "s1k6");
  EXPECT_EQ(last.image, tiny_ppm(4, 4));
  EXPECT_EQ(last.alt_text, "bus.jpg");
  EXPECT_EQ(last.extra["url"], "http://example.com");
  EXPECT_EQ(last.others.at(0).bytes, "17");
  ASSERT_EQ(last.regions.size(), 2U);
  EXPECT_EQ(last.regions[0].text, "red bus");
  EXPECT_EQ(last.regions[1].text, "two brown dogs");
  EXPECT_FLOAT_EQ(last.regions[1].score, 0.7f);
  EXPECT_EQ(last.regions[0].source, "fake");
  EXPECT_THAT(last.extra["phrases"], ElementsAre("red bus", "two brown dogs"));
  EXPECT_EQ(last.extra["vesl"]["detect"]["model"], "fake-1");
  EXPECT_EQ(last.extra["vesl"]["caption"]["from"], "caption");
  const Json report = read_json(folder_ / "out" / "00001.tar.report.json");
  EXPECT_EQ(report["images"], 7);
  EXPECT_EQ(report["stages"]["select"]["regions"], 14);
  EXPECT_EQ(report["stages"]["phrases"]["captions"], 7);
}

TEST_F(Pipeline, StagesOneByOneGiveTheSameRegions) {
  write_shards(1, 4);
  label(options("whole"));
  label(options("one"), {"caption"});
  label(options("two", "one"), {"phrases"});
  label(options("three", "two"), {"detect"});
  label(options("four", "three"), {"select"});
  EXPECT_EQ(read_file(folder_ / "whole" / "00000.tar"), read_file(folder_ / "four" / "00000.tar"));
}

TEST_F(Pipeline, FinishedShardsAreLeftAlone) {
  write_shards(3, 2);
  label(options());
  const auto first = folder_ / "out" / "00000.tar";
  const auto bytes = read_file(first);
  fs::remove(folder_ / "out" / "00001.tar");  // as after a crash
  write_file(first, "not looked at again");
  const auto again = label(options());
  EXPECT_EQ(again.finished, 2);
  EXPECT_EQ(again.shards, 1);
  EXPECT_EQ(read_file(first), "not looked at again");
  EXPECT_THAT(error_of(options(), 0.8f), HasSubstr("other settings"));
  auto overwrite = options();
  overwrite.overwrite = true;
  label(overwrite);
  EXPECT_EQ(read_file(first), bytes);
}

TEST_F(Pipeline, ABrokenRunLeavesNoHalfShard) {
  write_shards(1, 7);
  EXPECT_THROW(label(options(), kAllStages, 0.1f, 1), Error);
  EXPECT_FALSE(fs::exists(folder_ / "out" / "00000.tar"));
  for (const auto& entry : fs::directory_iterator(folder_ / "out"))
    ADD_FAILURE() << entry.path() << " was left behind";
  // What a killed process left, which nobody owns.
  const std::string machine = owner_tag().substr(0, 8);
  const auto killed = folder_ / "out" / (".00000.tar." + machine + "-999999999-1-0.tmp");
  // Of another machine: whether its process lives cannot be known here.
  const auto elsewhere = folder_ / "out" / ".00000.tar.00000000-999999999-1-0.tmp";
  write_file(killed, "half");
  write_file(elsewhere, "half");
  label(options());
  EXPECT_FALSE(fs::exists(killed));
  EXPECT_TRUE(fs::exists(elsewhere));
  EXPECT_TRUE(fs::exists(folder_ / "out" / "00000.tar"));
}

TEST_F(Pipeline, ProcessesShareTheShards) {
  write_shards(5, 1);
  for (int64_t index = 0; index < 3; ++index) {
    auto mine = options("shared");
    mine.share = {index, 3};
    EXPECT_EQ(label(mine).shards, index < 2 ? 2 : 1);
  }
  label(options("alone"));
  for (int s = 0; s < 5; ++s) {
    const std::string name = "0000" + std::to_string(s) + ".tar";
    EXPECT_EQ(read_file(folder_ / "shared" / name), read_file(folder_ / "alone" / name));
  }
  auto wrong = options();
  wrong.share = {3, 3};
  EXPECT_THAT(error_of(wrong), HasSubstr("setting 'shard_index'"));
}

TEST_F(Pipeline, BrokenSamplesAreCounted) {
  fs::create_directories(folder_ / "in");
  fixtures::write_tar(folder_ / "in" / "00000.tar",
                      {{"a.ppm", tiny_ppm(3, 3)},
                       {"a.json", R"({"caption": "a red car"})"},
                       {"b.jpg", "no picture"},
                       {"b.json", R"({"caption": "a red car"})"},
                       {"c.ppm", tiny_ppm(3, 3)},
                       {"c.json", R"({"phrases": "no list", "caption": "a red car"})"},
                       {"d.ppm", tiny_ppm(3, 3)},
                       {"d.json", R"({"candidates": [{"box": [0, 0]}]})"},
                       {"e.ppm", tiny_ppm(3, 3)}});
  EXPECT_EQ(label(options()).images, 2);
  const Json skipped = read_json(folder_ / "out" / "00000.tar.report.json")["skipped"];
  EXPECT_EQ(skipped[std::string(skip::kBadImage)], 1);
  EXPECT_EQ(skipped[std::string(skip::kBadJson)], 1);
  EXPECT_EQ(skipped[std::string(skip::kBadBox)], 1);
  const auto all = records(folder_ / "out" / "00000.tar");
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].regions.size(), 1U);
  EXPECT_TRUE(all[1].regions.empty());  // no text: no phrase, yet kept
}

TEST_F(Pipeline, InputsThatWouldBeLost) {
  write_shards(1, 1);
  EXPECT_THAT(error_of(options("in")), HasSubstr("would be replaced"));
  fs::create_directories(folder_ / "other");
  fs::copy(folder_ / "in" / "00000.tar", folder_ / "other" / "00000.tar");
  auto twice = options();
  twice.shards.push_back((folder_ / "other" / "00000.tar").string());
  EXPECT_THAT(error_of(twice), HasSubstr("two input shards are named 00000.tar"));
}

TEST(TextShares, DecideWhereTheTextComesFrom) {
  const TextShares shares = parse_text_shares("caption:0.5,alt_text:1.5");
  EXPECT_EQ(shares.caption, 0.5);
  EXPECT_EQ(shares.captions, 0);
  EXPECT_EQ(shares.alt_text, 1.5);
  for (const char* wrong : {"", "caption:-1", "caption:x", "text:1", "caption:0", "caption:"})
    EXPECT_THROW(parse_text_shares(wrong), Error) << wrong;

  const auto stage = caption_stage({.shares = shares});
  std::vector<LabelSample> samples(400);
  for (size_t i = 0; i < samples.size(); ++i) {
    samples[i].record.key = std::to_string(i);
    samples[i].record.caption = "caption";
    samples[i].record.alt_text = "alt text";
  }
  samples[0].record.caption.clear();
  stage->run(samples);
  EXPECT_EQ(chosen_text(samples[0]), "alt text");
  const Json from = stage->take_report()["from"];
  EXPECT_NEAR(from["alt_text"].get<int>(), 300, 40);
  EXPECT_EQ(from["alt_text"].get<int>() + from["caption"].get<int>(), 400);
  // A sample's choice is its own: the others do not matter.
  std::vector<LabelSample> some(samples.begin() + 100, samples.begin() + 110);
  stage->run(some);
  for (size_t i = 0; i < some.size(); ++i)
    EXPECT_EQ(chosen_text(some[i]), chosen_text(samples[100 + i]));
}

}  // namespace
}  // namespace opencloc

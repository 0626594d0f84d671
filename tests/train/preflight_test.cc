#include "opencloc/train/preflight.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/model/config/config.h"
#include "opencloc/train/memory_estimate.h"
#include "tests/data/loader_fixture.h"

namespace opencloc {
namespace {

using ::testing::HasSubstr;

class PreflightTest : public ::testing::Test {
 protected:
  PreflightLine line(const std::vector<Record>& records, const TrainConfig& config,
                     const std::string& subject) {
    const auto path = folder_ / (std::to_string(shards_++) + ".tar");
    fixtures::write_shard(path, records);
    SkipCounter skips(0);
    const SampleStore store(path.string(), skips);
    const auto found =
        preflight(config, load_model_config("ViT-Test"), 1000, 1000, store, tokenizer_);
    const auto it = std::ranges::find(found.lines, subject, &PreflightLine::subject);
    return it == found.lines.end() ? PreflightLine{} : *it;
  }
  fixtures::TempFolder folder_;
  fixtures::LetterTokenizer tokenizer_;
  int shards_ = 0;
};

// "a photo of a {}" of so many classes: what matters is how many equal ones meet in a batch.
TEST_F(PreflightTest, EqualCaptionsAreCountedInABatch) {
  std::vector<Record> records;
  for (int i = 0; i < 240; ++i) {
    records.push_back(fixtures::numbered_record(i, 1));
    records.back().caption = "a photo of a class " + std::to_string(i % 200);
  }
  TrainConfig config;
  config.steps = 10;
  config.batch_size = 8;
  EXPECT_EQ(line(records, config, "equal captions").verdict, PreflightLine::Verdict::kFine);
  config.batch_size = 1024;  // 40 pairs of 240 texts: 1023 * 80 / (240 * 239) = 1.43 others
  const auto found = line(records, config, "equal captions");
  EXPECT_EQ(found.verdict, PreflightLine::Verdict::kWarning);
  EXPECT_THAT(found.finding, HasSubstr("1.43 others"));
}

TEST_F(PreflightTest, PicturesWithoutATextAreUsable) {
  auto records = fixtures::numbered_records(0, 4);
  for (auto& record : records) record.caption.clear();
  TrainConfig config;
  config.steps = 10;
  EXPECT_THAT(line(records, config, "readable").finding, HasSubstr("4 of 4"));
  const auto texts = line(records, config, "image texts");
  EXPECT_THAT(texts.finding, HasSubstr("0 of 4"));
  EXPECT_EQ(texts.verdict, PreflightLine::Verdict::kWarning) << "L_CLIP has nothing to learn from";
  records[1].regions.clear();
  EXPECT_THAT(line(records, config, "readable").finding, HasSubstr("3 of 4"));
}

TEST_F(PreflightTest, ATeacherThatDoesNotMoveIsSaid) {
  TrainConfig config;
  config.distillation.weight = 1;
  config.steps = config.distillation.steps = 100;  // 0.994 to 1: exp(-0.006 * 100 / 2) is kept
  const auto slow = line(fixtures::numbered_records(0, 4), config, "self-distillation");
  EXPECT_EQ(slow.verdict, PreflightLine::Verdict::kWarning);
  EXPECT_THAT(slow.finding, HasSubstr("keeps 73.8% of its first weights"));
  config.steps = config.distillation.steps = 1000;
  EXPECT_EQ(line(fixtures::numbered_records(0, 4), config, "self-distillation").verdict,
            PreflightLine::Verdict::kFine);
}

// In parts the largest of what is in memory at a time counts; the weights always do.
TEST(MemoryEstimate, FallsWithThePartsAndNotBelowTheWeights) {
  TrainConfig config;
  config.batch_size = 256;
  const auto model = load_model_config("ViT-B-16");
  const SampleShape sample{.caption_tokens = 20, .regions = 4, .region_tokens = 5};
  const auto bytes = [&](int64_t parts, int64_t trained) {
    config.accum_freq = parts;
    return estimate_memory(config, model, 150'000'000, trained, sample);
  };
  EXPECT_NEAR(bytes(1, 150'000'000) - bytes(1, 0), 12.0 * 150e6, 1);
  const double whole = bytes(1, 0), four = bytes(4, 0), all = bytes(256, 0);
  EXPECT_LT(four, 0.35 * whole);
  EXPECT_LT(all, four);
  EXPECT_GT(all, 4.0 * 150e6);
  // 64 pictures through 12 blocks of 197 tokens, 16 rows of 768 floats each: 7.4 GB.
  EXPECT_GT(four - all, 0.9 * 64 * 12 * 197 * 16 * 768 * 4.0);
}

}  // namespace
}  // namespace opencloc

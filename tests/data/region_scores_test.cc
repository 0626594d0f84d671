// Scores and wrong texts of regions, from the shard to the batch.
#include <map>

#include <gtest/gtest.h>
#include <torch/utils.h>

#include "tests/data/loader_fixture.h"

namespace opencloc {
namespace {

class RegionScores : public ::testing::Test {
 protected:
  RegionScores() {
    auto records = fixtures::numbered_records(0, 12);
    for (size_t i = 0; i < records.size(); ++i) {
      for (size_t r = 0; r < 3; ++r) {
        Region& region = records[i].regions[r];
        region.score = r == 0 ? 0.6f : r == 1 ? 0.3f : 0.1f;
        if (r > 0) region.extra["negatives"] = {"one", "two", "three", region.text, 7};
      }
    }
    fixtures::write_shard(folder_ / "a.tar", records);
    store_ = std::make_unique<SampleStore>((folder_ / "a.tar").string(), skips_);
  }
  std::vector<LoadedBatch> load(const SampleOptions& asked, int batches = 1) {
    LoaderOptions options;
    options.batch_size = 6;
    options.seed = 3;
    options.sample = asked;
    options.sample.canvas.width = options.sample.canvas.height = 24;
    options.sample.canvas.rule = CanvasRule::kLongest;
    options.sample.context_length = 16;
    options.sample.augment = false;
    Loader loader(*store_, tokenizer_, skips_, options, nullptr);
    std::vector<LoadedBatch> loaded;
    for (int i = 0; i < batches; ++i) loaded.push_back(loader.next());
    return loaded;
  }
  fixtures::TempFolder folder_;
  fixtures::LetterTokenizer tokenizer_;
  SkipCounter skips_{0};
  std::unique_ptr<SampleStore> store_;
};

TEST_F(RegionScores, AreOffUnlessAskedFor) {
  SampleOptions options;
  const auto off = load(options)[0].batch;
  EXPECT_FALSE(off.region_weight.defined());
  EXPECT_FALSE(off.negative_ids.defined());
  options.region_score = RegionScore::kWeight;
  options.hard_negatives = 2;
  const auto with = load(options)[0].batch;
  EXPECT_EQ(with.region_texts, off.region_texts) << "the same regions";
  EXPECT_TRUE(torch::equal(with.boxes, off.boxes));
}

TEST_F(RegionScores, WeighTheirRegions) {
  SampleOptions options;
  options.region_score = RegionScore::kWeight;
  const auto batch = load(options)[0].batch;
  ASSERT_EQ(batch.region_weight.size(0), batch.regions());
  for (int64_t i = 0; i < batch.regions(); ++i) {
    const char which = batch.region_texts[static_cast<size_t>(i)].back();
    EXPECT_NEAR(batch.region_weight[i].item<float>(),
                which == '0'   ? 0.6f
                : which == '1' ? 0.3f
                               : 0.1f,
                1e-6);
  }
}

// One of three: each as often as its share of the scores says.
TEST_F(RegionScores, SampleTheirRegions) {
  SampleOptions options;
  options.region_score = RegionScore::kSample;
  options.regions_per_image = 1;
  std::map<char, int> times;
  for (const auto& loaded : load(options, 150)) {
    EXPECT_FALSE(loaded.batch.region_weight.defined());
    for (const auto& text : loaded.batch.region_texts) ++times[text.back()];
  }
  EXPECT_NEAR(times['0'] / 900.0, 0.6, 0.06);
  EXPECT_NEAR(times['1'] / 900.0, 0.3, 0.06);
  EXPECT_NEAR(times['2'] / 900.0, 0.1, 0.04);
}

TEST_F(RegionScores, WrongTextsComeAlong) {
  SampleOptions options;
  options.hard_negatives = 2;
  const auto batch = load(options)[0].batch;
  std::map<int64_t, int> of_region;
  ASSERT_EQ(batch.negative_ids.size(0), batch.negatives());
  for (int64_t i = 0; i < batch.negatives(); ++i) {
    const auto region = batch.negative_region[i].item<int64_t>();
    EXPECT_GE(region, batch.negative_region[std::max<int64_t>(0, i - 1)].item<int64_t>());
    ++of_region[region];
    EXPECT_FALSE(torch::equal(batch.negative_ids[i], batch.region_ids[region]));
    EXPECT_LE(batch.negative_length[i].item<int64_t>(), 7) << "start, at most five letters, end";
  }
  for (int64_t i = 0; i < batch.regions(); ++i)
    EXPECT_EQ(of_region[i], batch.region_texts[static_cast<size_t>(i)].back() == '0' ? 0 : 2);
}

}  // namespace
}  // namespace opencloc

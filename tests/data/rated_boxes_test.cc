#include "opencloc/data/load/rated_boxes.h"

#include <algorithm>
#include <array>
#include <memory>

#include <gtest/gtest.h>
#include <torch/utils.h>

#include "tests/data/loader_fixture.h"

namespace opencloc {
namespace {

TEST(RatedBoxes, TheirIousSpreadOverTheWholeRange) {
  const std::vector<Box> objects = {{0.1f, 0.2f, 0.3f, 0.4f}, {0.5f, 0.5f, 0.95f, 0.9f}};
  std::array<int, 5> fifths{};
  int loose = 0, parts = 0, count = 0;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    Rng rng(seed);
    for (const auto& [box, given] : rated_boxes(objects, 8, rng)) {
      EXPECT_TRUE(box.x0 >= 0 && box.y0 >= 0 && box.x1 <= 1 && box.y1 <= 1);
      EXPECT_GT(box.area(), 0);
      EXPECT_EQ(given, std::max(iou(box, objects[0]), iou(box, objects[1])));
      ++fifths[std::min<size_t>(4, static_cast<size_t>(given * 5))];
      for (const Box& object : objects) {
        loose += intersect(box, object) == object && box.area() > 2 * object.area();
        parts += intersect(box, object) == box && 2 * box.area() < object.area();
      }
      ++count;
    }
  }
  EXPECT_EQ(count, 3200);
  for (const int in_fifth : fifths) EXPECT_GT(in_fifth, count / 10);
  EXPECT_GT(loose, count / 15) << "boxes that are too large are what a grid has";
  EXPECT_GT(parts, count / 20);
}

TEST(RatedBoxes, FollowFromTheGeneratorAndNeedAnObject) {
  const std::vector<Box> objects = {{0.1f, 0.2f, 0.3f, 0.4f}};
  Rng a(5), b(5), c(6);
  const auto first = rated_boxes(objects, 8, a), again = rated_boxes(objects, 8, b),
             other = rated_boxes(objects, 8, c);
  ASSERT_EQ(first.size(), 8u);
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(first[i].box, again[i].box);
  EXPECT_NE(first[0].box, other[0].box);
  EXPECT_TRUE(rated_boxes({}, 8, a).empty());
}

class RatedBatches : public ::testing::Test {
 protected:
  RatedBatches() {
    auto records = fixtures::numbered_records(0, 12);
    records[3].regions.clear();
    fixtures::write_shard(folder_ / "a.tar", records);
    store_ = std::make_unique<SampleStore>((folder_ / "a.tar").string(), skips_);
  }
  LoadedBatch load(int64_t rated, BatchShare share, const SamplerPosition* start = nullptr) {
    LoaderOptions options;
    options.batch_size = 7;
    options.share = share;
    options.seed = 3;
    options.sample.canvas.width = options.sample.canvas.height = 24;
    options.sample.canvas.rule = CanvasRule::kLongest;
    options.sample.context_length = 16;
    options.sample.regions_per_image = 2;
    options.sample.rated_boxes = rated;
    return Loader(*store_, tokenizer_, skips_, options, start).next();
  }
  fixtures::TempFolder folder_;
  fixtures::LetterTokenizer tokenizer_;
  SkipCounter skips_{0};
  std::unique_ptr<SampleStore> store_;
};

TEST_F(RatedBatches, ChangeNothingElse) {
  const Batch plain = load(0, {}).batch, rated = load(8, {}).batch;
  EXPECT_FALSE(plain.rated_boxes.defined());
  EXPECT_EQ(plain.rated(), 0);
  EXPECT_EQ(plain.keys, rated.keys);
  EXPECT_EQ(plain.region_texts, rated.region_texts);
  EXPECT_TRUE(torch::equal(plain.pixels, rated.pixels));
  EXPECT_TRUE(torch::equal(plain.boxes, rated.boxes));
  EXPECT_EQ(rated.rated_boxes.size(1), 4);
  EXPECT_EQ(rated.rated_iou.size(0), rated.rated());
  EXPECT_EQ(rated.rated(), 8 * rated.images_with_regions);
  for (int64_t i = 0; i < rated.rated(); ++i)
    EXPECT_TRUE(rated.region_image.eq(rated.rated_image[i]).any().item<bool>());
}

TEST_F(RatedBatches, SharesAndALaterStartGiveThoseOfOneProcess) {
  const LoadedBatch first = load(8, {});
  const Batch second = load(8, {}, &first.after).batch;
  EXPECT_FALSE(torch::equal(first.batch.rated_boxes, second.rated_boxes));
  for (const bool later : {false, true}) {
    std::vector<torch::Tensor> boxes, ious;
    for (int64_t rank = 0; rank < 3; ++rank) {
      const Batch share = load(8, {rank, 3}, later ? &first.after : nullptr).batch;
      boxes.push_back(share.rated_boxes);
      ious.push_back(share.rated_iou);
    }
    const Batch& whole = later ? second : first.batch;
    EXPECT_TRUE(torch::equal(torch::cat(boxes), whole.rated_boxes));
    EXPECT_TRUE(torch::equal(torch::cat(ious), whole.rated_iou));
  }
}

}  // namespace
}  // namespace opencloc

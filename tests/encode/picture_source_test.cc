#include "opencloc/encode/picture_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/data/tar_maker.h"
#include "tests/eval/tiny_world.h"

namespace opencloc {
namespace {

using ::testing::ElementsAre;
using Names = std::vector<std::vector<std::string>>;  // of the pictures of each batch

class PictureSourceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto records = fixtures::drawn_records(9);
    write_file(folder_ / "file.png", records[8].image);
    fixtures::write_shard(folder_ / "a.tar", {records.begin(), records.begin() + 4});
    fixtures::write_tar(
        folder_ / "b.tar",
        {{"x.json", "{}"}, {"y.json", "{}"}, {"z.png", records[4].image}, {"zz.json", "{}"}});
    fixtures::write_shard(folder_ / "d.tar", {records.begin() + 5, records.end()});
  }
  // Keys of all batches, of one process of several.
  Names batches(const PictureDeal& deal, SkipCounter& skips) {
    PictureSource source({{(folder_ / "file.png").string(), {}}}, (folder_ / "?.tar").string(),
                         config_, {.batch_size = 2, .deal = deal, .skip_bad_shards = true}, skips);
    Names names;
    for (bool last = false; !last;) {
      PictureBatch batch = source.next();
      last = batch.last;
      for (auto& one : batch.skipped) skips.add(std::move(one));
      auto& own = names.emplace_back();
      for (const auto& picture : batch.pictures)
        own.push_back(picture.record ? picture.record->key : "file");
    }
    return names;
  }

  fixtures::TempFolder folder_;
  const ModelConfig config_ = fixtures::tiny_config();
};

TEST_F(PictureSourceTest, ABatchHoldsTheInputsOfItsNumbers) {
  SkipCounter skips(0);
  EXPECT_THAT(
      batches({}, skips),
      ElementsAre(ElementsAre("file", "sample1000"), ElementsAre("sample1001", "sample1002"),
                  ElementsAre("sample1003"), ElementsAre("z"), ElementsAre("sample1005"),
                  ElementsAre("sample1006", "sample1007"), ElementsAre("sample1008")));
  EXPECT_EQ(skips.count(skip::kNoImage), 3);
}

TEST_F(PictureSourceTest, ProcessesTakeTheBatchesOfOneInTurn) {
  for (const bool damaged : {false, true}) {
    if (damaged) write_file(folder_ / "c.tar", std::string(600, 'x'));
    SkipCounter of_one(0);
    const Names all = batches({}, of_one);
    for (const int64_t count : {2, 3, 10}) {
      SkipCounter of_all(0);
      for (int64_t rank = 0; rank < count; ++rank) {
        const Names own = batches({.first = rank, .every = count}, of_all);
        for (size_t i = 0; i < own.size(); ++i) {
          const auto b = static_cast<size_t>(rank) + i * static_cast<size_t>(count);
          EXPECT_EQ(own[i], b < all.size() ? all[b] : std::vector<std::string>())
              << "batch " << b << " of " << count;
        }
      }
      EXPECT_EQ(of_all.counts(), of_one.counts()) << count;
    }
    EXPECT_EQ(of_one.count(skip::kBadShard), damaged ? 1 : 0);
  }
}

}  // namespace
}  // namespace opencloc

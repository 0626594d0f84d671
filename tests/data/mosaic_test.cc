#include "opencloc/data/scenes/mosaic.h"

#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "opencloc/base/files.h"
#include "opencloc/image/image.h"
#include "tests/data/tar_maker.h"

namespace opencloc {
namespace {

using fixtures::make_test_record;
using fixtures::TempFolder;
using fixtures::tiny_ppm;
using ::testing::HasSubstr;

class MosaicTest : public ::testing::Test {
 protected:
  // Samples "0".."count-1": grey 20 * i, one region over the left half, caption "cap i.".
  std::string samples(int count, bool with_regions = true) {
    const std::string path = (folder_ / "in.tar").string();
    ShardWriter writer(path);
    for (int i = 0; i < count; ++i) {
      Record record = make_test_record(std::to_string(i), "cap " + std::to_string(i) + ".");
      record.image = tiny_ppm(16, 16, static_cast<unsigned char>(20 * i));
      record.label = "class " + std::to_string(i);
      if (with_regions) {
        record.regions.push_back({{0, 0, 0.5f, 1}, "left " + std::to_string(i), 0.5f, "x", {}});
        record.regions.back().extra = Json::object();
      }
      writer.write(record);
    }
    writer.commit();
    return path;
  }
  std::vector<Record> make(const std::vector<std::string>& shards, MosaicOptions options) {
    ShardSetWriter out(folder_ / "out", {.overwrite = true});
    make_mosaics(shards, options, out, skips_);
    out.commit();
    SkipCounter none;
    ShardReader reader((folder_ / "out" / "00000.tar").string(), none);
    std::vector<Record> records;
    for (Record record; reader.next(record);) records.push_back(record);
    return records;
  }
  TempFolder folder_;
  SkipCounter skips_{0};
};

TEST_F(MosaicTest, BoxesMoveAlongAndCaptionsAreJoined) {
  const auto records =
      make({samples(4)}, {.grid = 2, .count = 3, .size = 32, .seed = 1, .threads = 2});
  ASSERT_EQ(records.size(), 3u);
  for (const auto& record : records) {
    const Image image = Image::decode(record.image, record.key);
    EXPECT_EQ(image.width, 32);
    EXPECT_EQ(image.height, 32);
    ASSERT_EQ(record.regions.size(), 4u);
    std::string caption;
    for (size_t t = 0; t < 4; ++t) {
      const std::string key = record.extra["tiles"][t];
      const Region& region = record.regions[t];
      EXPECT_EQ(region.text, "left " + key);
      EXPECT_FLOAT_EQ(region.score, 0.5f);
      const float x = t % 2 == 0 ? 0 : 0.5f, y = t < 2 ? 0 : 0.5f;
      EXPECT_EQ(region.box, (Box{x, y, x + 0.25f, y + 0.5f}));
      caption += (t == 0 ? "cap " : ", cap ") + key;
      // The tile shows that sample (JPEG is near enough on flat grey).
      const int px = t % 2 == 0 ? 8 : 24, py = t < 2 ? 8 : 24;
      EXPECT_NEAR(image.row(py)[3 * px], 20 * std::stoi(key), 4);
    }
    EXPECT_EQ(record.caption, caption);
    EXPECT_FALSE(record.label.has_value());
  }
  EXPECT_EQ(records[0].key, "000000000");
}

TEST_F(MosaicTest, EverySampleOnceBeforeAnyTwice) {
  const auto records = make({samples(12)}, {.grid = 2, .count = 6, .size = 32, .seed = 3});
  for (int pass = 0; pass < 2; ++pass) {
    std::set<std::string> seen;
    for (size_t m = 0; m < 3; ++m) {
      for (const auto& key : records[static_cast<size_t>(pass) * 3 + m].extra["tiles"]) {
        seen.insert(key.get<std::string>());
      }
    }
    EXPECT_EQ(seen.size(), 12u);
  }
}

TEST_F(MosaicTest, RegionsOfWholeTiles) {
  const std::string path = samples(4);
  const auto tiles =
      make({path}, {.grid = 2, .count = 1, .size = 32, .regions = MosaicRegions::kTiles});
  ASSERT_EQ(tiles[0].regions.size(), 4u);
  EXPECT_EQ(tiles[0].regions[3].box, (Box{0.5f, 0.5f, 1, 1}));
  EXPECT_EQ(tiles[0].regions[3].text, "class " + tiles[0].extra["tiles"][3].get<std::string>());
  const auto both =
      make({path}, {.grid = 2, .count = 1, .size = 32, .regions = MosaicRegions::kBoth});
  EXPECT_EQ(both[0].regions.size(), 8u);
}

TEST_F(MosaicTest, SamplesWithoutRegionsGiveTheirTile) {
  const auto records = make({samples(4, false)}, {.grid = 2, .count = 1, .size = 32});
  ASSERT_EQ(records[0].regions.size(), 4u);
  EXPECT_EQ(records[0].regions[0].box, (Box{0, 0, 0.5f, 0.5f}));
  EXPECT_EQ(records[0].regions[0].source, "mosaic");
}

TEST_F(MosaicTest, DependsOnTheSeedAlone) {
  const std::string path = samples(9);
  const auto bytes = [&](uint64_t seed, int threads) {
    make({path}, {.grid = 3, .count = 20, .size = 48, .seed = seed, .threads = threads});
    return read_file(folder_ / "out" / "00000.tar");
  };
  const std::string first = bytes(1, 1);
  EXPECT_EQ(bytes(1, 4), first);
  EXPECT_NE(bytes(2, 1), first);
}

TEST_F(MosaicTest, FreeCutsMoveBoxesAlong) {
  const std::string path = samples(9);
  // Squashed: a crop for a narrow tile may leave too little of a box.
  const MosaicOptions options{.grid = 3,
                              .least_tile = 0.3,
                              .count = 10,
                              .size = 192,
                              .fit = CanvasRule::kSquash,
                              .threads = 2};
  std::set<float> sides;
  for (const Record& record : make({path}, options)) {
    ASSERT_EQ(record.regions.size(), 9u);
    const Image picture = Image::decode(record.image, "mosaic");
    double area = 0;
    for (const Region& region : record.regions) {
      area += region.box.area();
      sides.insert(region.box.width());
      // The box lies where its sample's grey is.
      const int x = static_cast<int>((region.box.x0 + region.box.x1) / 2 * 192);
      const int y = static_cast<int>((region.box.y0 + region.box.y1) / 2 * 192);
      const int grey = 20 * std::stoi(region.text.substr(5));
      EXPECT_NEAR(picture.row(y)[3 * x], grey, 8) << region.text;
    }
    EXPECT_NEAR(area, 0.5, 0.02) << "each the left half of a tile";
  }
  EXPECT_GT(sides.size(), 30u);
}

TEST_F(MosaicTest, BrokenSamplesAreCountedOnceAndReplaced) {
  const std::string path = (folder_ / "some.tar").string();
  fixtures::write_tar(path, {{"1.jpg", "not a picture"},
                             {"2.ppm", tiny_ppm(8, 8)},
                             {"3.ppm", tiny_ppm(8, 8)},
                             {"3.json", "{"}});
  const auto records = make({path}, {.grid = 2, .count = 10, .size = 32, .threads = 3});
  ASSERT_EQ(records.size(), 10u);
  for (const auto& record : records) {
    for (const auto& key : record.extra["tiles"]) EXPECT_EQ(key, "2");
  }
  EXPECT_EQ(skips_.count(skip::kBadImage), 1);
  EXPECT_EQ(skips_.count(skip::kBadJson), 1);
}

// With fewer open files allowed than there are shards; in a child, whose limits are its own.
TEST_F(MosaicTest, MoreShardsThanOpenFiles) {
  const std::string one = samples(1);
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit limit{40, 200};
    ::setrlimit(RLIMIT_NOFILE, &limit);
    const auto mosaics =
        make(std::vector<std::string>(60, one), {.grid = 1, .count = 60, .size = 16});
    bool said = false;
    try {
      make(std::vector<std::string>(300, one),
           {.grid = 1, .count = 1, .size = 16, .shards = {.skip_bad_shards = true}});
    } catch (const Error& error) {  // not bad shards, which would be skipped
      said =
          error.exit_code() == 1 && std::string(error.what()).find("ulimit") != std::string::npos;
    }
    ::_exit(mosaics.size() == 60 && said ? 0 : 1);
  }
  int status = 1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST_F(MosaicTest, NothingUsableIsAnError) {
  const std::string path = (folder_ / "none.tar").string();
  fixtures::write_tar(path, {{"1.jpg", "not a picture"}});
  EXPECT_THROW(make({path}, {.grid = 2, .count = 1, .size = 32}), Error);
  fixtures::write_tar(path, {{"README", "no sample"}});
  EXPECT_THROW(make({path}, {.grid = 2, .count = 1, .size = 32}), Error);
  EXPECT_THROW(make({samples(1)}, {.grid = 0, .count = 1, .size = 32}), Error);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out"));
}

TEST(JoinCaptions, ReadAsOneSentence) {
  EXPECT_EQ(join_captions({"A cat.", "", "a dog ", "two birds"}), "A cat, a dog, two birds");
  EXPECT_EQ(join_captions({"...", ""}), "");
}

}  // namespace
}  // namespace opencloc

#include "opencloc/data/scenes/crops.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/image/encode.h"
#include "tests/data/tar_maker.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

using fixtures::make_test_record;
using fixtures::TempFolder;
using ::testing::HasSubstr;

// Pixel (x, y) is (x, y, 7).
Image ramp(int width, int height) {
  Image image(width, height);
  for (int i = 0; i < width * height; ++i) {
    image.pixels[static_cast<size_t>(i) * 3] = static_cast<uint8_t>(i % width);
    image.pixels[static_cast<size_t>(i) * 3 + 1] = static_cast<uint8_t>(i / width);
    image.pixels[static_cast<size_t>(i) * 3 + 2] = 7;
  }
  return image;
}

class CropsTest : public ::testing::Test {
 protected:
  void write(const std::vector<Region>& regions, bool broken = false) {
    ShardWriter writer(folder_ / "in.tar");
    for (int i = 0; i < 130; ++i) {  // more than are read at a time
      Record record = make_test_record("k" + std::to_string(i));
      record.extension = "png";
      record.image = broken && i == 5 ? "no picture" : encode_png(ramp(20 + i, 10));
      record.regions = regions;
      writer.write(record);
    }
    writer.commit();
  }
  CropsReport make(const CropsOptions& options = {}) {
    ShardSetWriter out(folder_ / "out", {.overwrite = true});
    const auto report = make_crops({(folder_ / "in.tar").string()}, options, out, skips_);
    out.commit();
    return report;
  }
  std::vector<Record> made() {
    SkipCounter none;
    ShardReader reader((folder_ / "out" / "00000.tar").string(), none);
    std::vector<Record> records;
    for (Record record; reader.next(record);) records.push_back(record);
    return records;
  }
  static Region region(const Box& box, const std::string& text) {
    Region region;
    region.box = box;
    region.text = text;
    return region;
  }
  TempFolder folder_;
  SkipCounter skips_{0};
};

TEST_F(CropsTest, EveryRegionWithATextIsAPicture) {
  write({region({0.25f, 0.2f, 0.75f, 0.6f}, "dog"), region({0, 0, 1, 1}, ""),
         region({0.5f, 0, 1, 0.25f}, "a cat")});
  for (const int threads : {1, 3}) {
    const auto report = make({.threads = threads});
    EXPECT_EQ(report.images, 130);
    EXPECT_EQ(report.crops, 260);
    EXPECT_EQ(report.without_text, 130);
    const auto all = made();
    ASSERT_EQ(all.size(), 260U);
    const Record& dog = all[0];
    EXPECT_EQ(dog.key, "k0_0");
    EXPECT_EQ(dog.caption, "dog");
    EXPECT_TRUE(dog.regions.empty());
    EXPECT_EQ(dump_json(dog.extra.at("crop_of")), R"({"key":"k0","box":[0.25,0.2,0.75,0.6]})");
    const Image image = Image::decode(dog.image, "dog");  // x from 5 to 15, y from 2 to 6
    ASSERT_EQ(image.width, 10);
    ASSERT_EQ(image.height, 4);
    for (int y = 0; y < 4; ++y) {
      for (int x = 0; x < 10; ++x) {
        EXPECT_EQ(image.pixels[static_cast<size_t>(y * 10 + x) * 3], x + 5);
        EXPECT_EQ(image.pixels[static_cast<size_t>(y * 10 + x) * 3 + 1], y + 2);
      }
    }
    EXPECT_EQ(all[259].key, "k129_2");
    EXPECT_EQ(all[259].caption, "a cat");
  }
}

TEST_F(CropsTest, SmallRegionsAndBrokenPicturesAreCounted) {
  write({region({0, 0, 1, 1}, "all"), region({0, 0, 1, 0.3f}, "flat")}, true);
  const auto report = make({.smallest = 4});
  EXPECT_EQ(report.images, 129);
  EXPECT_EQ(report.crops, 129);
  EXPECT_EQ(report.too_small, 129);
  EXPECT_EQ(skips_.count(skip::kBadImage), 1);
  EXPECT_THAT(fixtures::error_of([&] { make({.smallest = 11}); }),
              HasSubstr("no region can be cut out: 129 pictures"));
}

}  // namespace
}  // namespace opencloc

// Crops stay inside and allowed, depend on the Rng alone; mosaics keep pictures and boxes together.
#include "opencloc/image/augment.h"

#include <cmath>

#include <gtest/gtest.h>

#include "opencloc/base/error.h"
#include "tests/image/synthetic.h"

namespace opencloc {
namespace {

CanvasOptions canvas_of(int width, int height, CanvasRule rule) {
  CanvasOptions options;
  options.width = width;
  options.height = height;
  options.rule = rule;
  return options;
}

TEST(RandomCrop, StaysInsideAndInRange) {
  AugmentOptions options;
  options.scale_min = 0.2;
  Rng rng(1);
  double smallest = 1, largest = 0;
  for (int i = 0; i < 2000; ++i) {
    const PixelRect crop = random_crop(640, 480, options, rng);
    EXPECT_GE(crop.x, 0);
    EXPECT_GE(crop.y, 0);
    EXPECT_LE(crop.x + crop.width, 640);
    EXPECT_LE(crop.y + crop.height, 480);
    const double share = crop.width * crop.height / (640.0 * 480);
    const double ratio = static_cast<double>(crop.width) / crop.height;
    EXPECT_GT(ratio, 0.74);
    EXPECT_LT(ratio, 1.35);
    smallest = std::min(smallest, share);
    largest = std::max(largest, share);
  }
  EXPECT_GT(smallest, 0.19);
  EXPECT_LT(smallest, 0.25);  // the range is used
  EXPECT_GT(largest, 0.9);
}

TEST(RandomCrop, FallsBackToTheLargestCentredCrop) {
  AugmentOptions options;  // 90% of a 10:1 picture never has an allowed ratio
  Rng rng(2);
  EXPECT_EQ(random_crop(1000, 100, options, rng), (PixelRect{433, 0, 133, 100}));
  EXPECT_EQ(random_crop(100, 1000, options, rng), (PixelRect{0, 433, 100, 133}));
  EXPECT_EQ(random_crop(1, 1, options, rng), (PixelRect{0, 0, 1, 1}));
}

TEST(RandomCrop, RefusesSenselessRanges) {
  Rng rng(3);
  AugmentOptions options;
  options.scale_min = 1.1;
  EXPECT_THROW(random_crop(10, 10, options, rng), Error);
  options = {};
  options.flip_probability = -1;
  EXPECT_THROW(random_crop(10, 10, options, rng), Error);
}

TEST(Augment, DependsOnTheRngAlone) {
  const Image image = noise(90, 70, 4);
  AugmentOptions options;
  options.scale_min = 0.4;
  options.flip_probability = 0.5;
  const CanvasOptions canvas = canvas_of(32, 32, CanvasRule::kSquash);
  int flips = 0, different = 0;
  Image last;
  for (uint64_t i = 0; i < 40; ++i) {
    Rng once(5, {i}), again(5, {i});
    const CanvasImage a = augment(image, canvas, options, once);
    const CanvasImage b = augment(image, canvas, options, again);
    EXPECT_EQ(a.image.pixels, b.image.pixels);
    EXPECT_EQ(a.map.offset_x, b.map.offset_x);
    flips += a.map.scale_x < 0;
    different += a.image.pixels != last.pixels;
    last = a.image;
  }
  EXPECT_GT(flips, 8);
  EXPECT_LT(flips, 32);
  EXPECT_EQ(different, 40);
}

TEST(Mosaic, PutsPicturesAndBoxesRowByRow) {
  std::vector<Image> images;
  for (int i = 0; i < 9; ++i) {
    images.emplace_back(20 + i, 30 - i);
    std::fill(images.back().pixels.begin(), images.back().pixels.end(),
              static_cast<uint8_t>(10 + 20 * i));
  }
  std::vector<const Image*> pointers;
  for (const Image& image : images) pointers.push_back(&image);
  const Mosaic mosaic = make_mosaic(pointers, 3, canvas_of(100, 64, CanvasRule::kSquash));
  ASSERT_EQ(mosaic.image.width, 100);
  ASSERT_EQ(mosaic.tiles.size(), 9u);
  const std::vector<Box> all = {{0, 0, 1, 1}};
  float area = 0;
  for (int i = 0; i < 9; ++i) {
    const MappedBoxes mapped = map_tile_boxes(all, mosaic, i);
    ASSERT_EQ(mapped.boxes.size(), 1u);
    const Box& box = mapped.boxes[0];
    area += box.area();
    const int x = static_cast<int>((box.x0 + box.x1) * 50),
              y = static_cast<int>((box.y0 + box.y1) * 32);
    EXPECT_EQ(mosaic.image.row(y)[3 * x], 10 + 20 * i);
    EXPECT_EQ(i % 3, static_cast<int>(3 * (box.x0 + box.x1) / 2));
    EXPECT_EQ(i / 3, static_cast<int>(3 * (box.y0 + box.y1) / 2));
  }
  EXPECT_NEAR(area, 1, 1e-5);
}

TEST(Mosaic, BoxesEndWhereTheirTileEnds) {
  const Image wide = noise(200, 100, 6);
  const std::vector<const Image*> images(4, &wide);
  const Mosaic mosaic = make_mosaic(images, 2, canvas_of(80, 80, CanvasRule::kShortest));
  const std::vector<Box> boxes = {{0.1f, 0.2f, 0.5f, 0.6f}, {0.0f, 0.0f, 0.2f, 1.0f}};
  const MappedBoxes right = map_tile_boxes(boxes, mosaic, 1);
  ASSERT_EQ(right.source, (std::vector<int>{0}));  // the second lies where the tile is cut off
  EXPECT_NEAR(right.boxes[0].x0, 0.5, 1e-5);
  EXPECT_NEAR(right.boxes[0].y0, 0.1, 1e-5);
  EXPECT_NEAR(right.boxes[0].x1, 0.75, 1e-5);
  EXPECT_NEAR(right.boxes[0].y1, 0.3, 1e-5);
}

TEST(Mosaic, RefusesTheWrongNumberOfPictures) {
  const Image image = noise(4, 4, 7);
  const std::vector<const Image*> images(3, &image);
  EXPECT_THROW(make_mosaic(images, 2, canvas_of(80, 80, CanvasRule::kSquash)), Error);
  EXPECT_THROW(make_mosaic({}, 0, canvas_of(80, 80, CanvasRule::kSquash)), Error);
  EXPECT_THROW(
      make_mosaic(std::vector<const Image*>(4, &image), 2, canvas_of(1, 1, CanvasRule::kSquash)),
      Error);
}

TEST(Directions, AreWholeWordsInAnyCase) {
  EXPECT_TRUE(mentions_direction("a dog LEFT of the bus"));
  EXPECT_TRUE(mentions_direction("the right-hand door"));
  EXPECT_TRUE(mentions_direction("the leftmost"));
  EXPECT_FALSE(mentions_direction("a bright cleft, leftovers and copyrights"));
  EXPECT_FALSE(mentions_direction(""));
}

}  // namespace
}  // namespace opencloc

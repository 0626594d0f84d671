#include "opencloc/data/load/box_crops.h"

#include <cmath>
#include <memory>

#include <gtest/gtest.h>
#include <torch/utils.h>

#include "tests/data/loader_fixture.h"

namespace opencloc {
namespace {

TEST(BoxCrops, HalfOfTheBoxesAreRegionsAndTheRestLieAnywhereInThePicture) {
  const std::vector<Box> objects = {{0.3f, 0.2f, 0.4f, 0.3f}, {0.5f, 0.5f, 0.7f, 0.75f}};
  const Box content{0, 0.125f, 1, 0.875f};
  int of_objects = 0, second = 0, small = 0, count = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Rng rng(seed);
    for (const Box& box : boxes_to_crop(objects, content, 4, rng)) {
      ++count;
      if (box == objects[0] || box == objects[1]) {
        ++of_objects;
        second += box == objects[1];
        continue;
      }
      EXPECT_EQ(intersect(box, content), box);
      EXPECT_GE(box.width(), 1.0f / 6 - 1e-5f);
      EXPECT_GE(box.height(), 0.75f / 6 - 1e-5f);
      small += box.width() < std::sqrt(1.0f / 6);  // the middle of a logarithmic scale
    }
  }
  EXPECT_EQ(count, 1200);
  EXPECT_EQ(of_objects, 600);
  EXPECT_NEAR(second, 300, 50);
  EXPECT_NEAR(small, 300, 50);
  Rng a(5), b(5), c(6);
  EXPECT_EQ(boxes_to_crop({}, content, 4, a), boxes_to_crop({}, content, 4, b));
  EXPECT_NE(boxes_to_crop({}, content, 4, a), boxes_to_crop({}, content, 4, c));
}

// Of a crop: where its middle lies in a numbered_image.
std::pair<double, double> middle(const Image& crop) {
  double x = 0, y = 0;
  for (int i = 0; i < crop.height; ++i) {
    for (int j = 0; j < crop.width; ++j) {
      x += crop.row(i)[3 * j + 1];
      y += crop.row(i)[3 * j + 2];
    }
  }
  const double scale = 255.0 * crop.width * crop.height;
  return {x / scale, y / scale};
}

TEST(BoxCrops, AreCutOutOfThePictureAsTheCanvasShowsIt) {
  const Image picture = fixtures::numbered_image(3, 400, 200);
  const CanvasOptions canvas{.width = 16, .height = 16, .rule = CanvasRule::kLongest};
  const CanvasOptions square{.width = 8, .height = 8, .rule = CanvasRule::kSquash};
  // On the canvas the picture lies between a quarter and three quarters of the height.
  const Box box{0.125f, 0.25f, 0.375f, 0.5f};
  for (const bool flip : {false, true}) {
    const auto placed = to_canvas(picture, canvas, {.flip = flip});
    const Image crop = crop_of_box(picture, placed.map, box, square);
    ASSERT_EQ(crop.width, 8);
    const auto [x, y] = middle(crop);
    EXPECT_NEAR(x, flip ? 0.75 : 0.25, 0.01);
    EXPECT_NEAR(y, 0.25, 0.01);
    // Mirrored with the canvas: brighter to the right, or to the left.
    EXPECT_EQ(crop.row(4)[1] < crop.row(4)[3 * 7 + 1], !flip);
    // It has what the canvas lost: the colours of 100 columns, not of 4.
    EXPECT_NEAR(crop.row(4)[3 * 7 + 1] - crop.row(4)[1], (flip ? -1 : 1) * 255 * 0.25 * 7 / 8, 3);
  }
  // What is thinner than a pixel is one pixel.
  const Image thin = crop_of_box(picture, {}, {0.5f, 0.5f, 0.5001f, 0.5001f}, square);
  EXPECT_NEAR(middle(thin).first, 0.5, 0.01);
}

class CropBatches : public ::testing::Test {
 protected:
  CropBatches() {
    auto records = fixtures::numbered_records(0, 12);
    records[3].regions.clear();
    fixtures::write_shard(folder_ / "a.tar", records);
    store_ = std::make_unique<SampleStore>((folder_ / "a.tar").string(), skips_);
  }
  LoadedBatch load(int64_t crops, BatchShare share = {}, const SamplerPosition* start = nullptr,
                   double mosaic = 0) {
    LoaderOptions options;
    options.batch_size = 7;
    options.share = share;
    options.seed = 3;
    options.sample.canvas.width = options.sample.canvas.height = 24;
    options.sample.canvas.rule = CanvasRule::kLongest;
    options.sample.crop.flip_probability = 0.5;
    options.sample.context_length = 16;
    options.sample.regions_per_image = 2;
    options.sample.mosaic = mosaic;
    options.sample.box_crops = crops;
    options.sample.crop_size = 8;
    return Loader(*store_, tokenizer_, skips_, options, start).next();
  }
  fixtures::TempFolder folder_;
  fixtures::LetterTokenizer tokenizer_;
  SkipCounter skips_{0};
  std::unique_ptr<SampleStore> store_;
};

TEST_F(CropBatches, ChangeNothingElse) {
  for (const double mosaic : {0.0, 1.0}) {
    const Batch plain = load(0, {}, nullptr, mosaic).batch;
    const Batch cropped = load(3, {}, nullptr, mosaic).batch;
    EXPECT_FALSE(plain.crop_pixels.defined());
    EXPECT_EQ(plain.crops(), 0);
    EXPECT_EQ(plain.keys, cropped.keys);
    EXPECT_EQ(plain.region_texts, cropped.region_texts);
    EXPECT_TRUE(torch::equal(plain.pixels, cropped.pixels));
    EXPECT_TRUE(torch::equal(plain.boxes, cropped.boxes));
    // Also of the picture without regions.
    EXPECT_EQ(cropped.crops(), 21);
    EXPECT_EQ(cropped.crop_pixels.sizes(), (torch::IntArrayRef{21, 3, 8, 8}));
    EXPECT_EQ(cropped.crop_boxes.sizes(), (torch::IntArrayRef{21, 4}));
    EXPECT_TRUE(torch::equal(cropped.crop_image, torch::arange(21).div(3, "floor")));
  }
}

// A crop and its box on the canvas show the same colours, but for the rounding to whole pixels.
TEST_F(CropBatches, CropsShowWhatTheirBoxesHold) {
  const Batch batch = load(6).batch;
  for (int64_t i = 0; i < batch.crops(); ++i) {
    const auto box = batch.crop_boxes[i];
    const auto* corners = box.data_ptr<float>();
    if ((corners[2] - corners[0]) * 24 < 6 || (corners[3] - corners[1]) * 24 < 6) continue;
    const auto at = [&](int c) { return static_cast<int64_t>(std::lround(24 * corners[c])); };
    const auto inside = batch.pixels[batch.crop_image[i].item<int64_t>()]
                            .slice(1, at(1), at(3))
                            .slice(2, at(0), at(2));
    // The crop's own padding is black, in pixels that are not normalised 0.
    const auto crop = batch.crop_pixels[i];
    const auto seen = crop.slice(0, 0, 1).gt(0).expand_as(crop);
    if (inside[0].min().item<float>() == 0) continue;  // number 0 is black there
    const auto of_crop = (crop * seen).sum({1, 2}) / seen.sum({1, 2});
    EXPECT_LT((of_crop - inside.mean({1, 2})).abs().max().item<double>(), 0.06) << i;
  }
}

TEST_F(CropBatches, SharesAndALaterStartGiveThoseOfOneProcess) {
  const LoadedBatch first = load(3);
  const Batch second = load(3, {}, &first.after).batch;
  EXPECT_FALSE(torch::equal(first.batch.crop_boxes, second.crop_boxes));
  for (const bool later : {false, true}) {
    std::vector<torch::Tensor> boxes, pixels;
    for (int64_t rank = 0; rank < 3; ++rank) {
      const Batch share = load(3, {rank, 3}, later ? &first.after : nullptr).batch;
      boxes.push_back(share.crop_boxes);
      pixels.push_back(share.crop_pixels);
    }
    const Batch& whole = later ? second : first.batch;
    EXPECT_TRUE(torch::equal(torch::cat(boxes), whole.crop_boxes));
    EXPECT_TRUE(torch::equal(torch::cat(pixels), whole.crop_pixels));
  }
}

}  // namespace
}  // namespace opencloc

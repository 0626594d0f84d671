#include "opencloc/image/photometric.h"

#include <cmath>

#include <gtest/gtest.h>

namespace opencloc {
namespace {

Image one_pixel(uint8_t r, uint8_t g, uint8_t b) {
  Image image(1, 1);
  image.pixels = {r, g, b};
  return image;
}

using Bytes = std::vector<uint8_t>;

Image photo_noise(int width, int height) {
  Image image(width, height);
  Rng rng(3);
  for (auto& value : image.pixels) value = static_cast<uint8_t>(rng.below(256));
  return image;
}

TEST(Photometric, FactorsOfOneChangeNothing) {
  const Image before = photo_noise(9, 7);
  Image image = before;
  adjust_colours(image, {});
  EXPECT_EQ(image.pixels, before.pixels);
}

// Values of torchvision 0.20's functional.adjust_* on float tensors, rounded to bytes.
TEST(Photometric, FactorsFollowTorchvision) {
  const auto adjusted = [](const ColourFactors& factors) {
    Image image = one_pixel(200, 100, 50);
    adjust_colours(image, factors);
    return image.pixels;
  };
  EXPECT_EQ(adjusted({.brightness = 0.5}), (Bytes{100, 50, 25}));
  EXPECT_EQ(adjusted({.brightness = 1.4}), (Bytes{255, 140, 70}));
  EXPECT_EQ(adjusted({.saturation = 0}), (Bytes{124, 124, 124}));  // 0.2989 R + 0.587 G + 0.114 B
  EXPECT_EQ(adjusted({.contrast = 0}), (Bytes{124, 124, 124}));    // of one pixel the same
  EXPECT_EQ(adjusted({.hue = 1.0 / 3}), (Bytes{50, 200, 100}));    // a third of the circle
  EXPECT_EQ(adjusted({.hue = -1.0 / 3}), (Bytes{100, 50, 200}));
  EXPECT_EQ(adjusted({.hue = 0.5}), (Bytes{50, 150, 200}));
}

TEST(Photometric, ContrastIsAboutThePicturesMeanGrey) {
  Image image(2, 1);
  image.pixels = {0, 0, 0, 200, 200, 200};
  adjust_colours(image, {.contrast = 0.5});
  // The mean grey of 0 and 199.98 (the weights add up to 0.9999) is 100.
  EXPECT_EQ(image.pixels, (Bytes{50, 50, 50, 150, 150, 150}));
}

TEST(Photometric, BlurIsAGaussianThatKeepsFlatPictures) {
  Image flat(8, 5);
  for (auto& value : flat.pixels) value = 77;
  const Bytes before = flat.pixels;
  blur(flat, 1.5);
  EXPECT_EQ(flat.pixels, before);

  Image point(21, 21);
  for (int c = 0; c < 3; ++c) point.row(10)[3 * 10 + c] = 255;
  blur(point, 1.0);
  double sum = 0;
  for (int k = -3; k <= 3; ++k) sum += std::exp(-0.5 * k * k);
  const auto expected = [&](int dx, int dy) {
    return 255 * std::exp(-0.5 * (dx * dx + dy * dy)) / (sum * sum);
  };
  for (const auto& [dx, dy] : {std::pair{0, 0}, {1, 0}, {0, 2}, {2, 1}})
    EXPECT_NEAR(point.row(10 + dy)[3 * (10 + dx)], expected(dx, dy), 0.51) << dx << " " << dy;
  EXPECT_EQ(point.row(10)[3 * 14], 0);  // four deviations away
  Image small = photo_noise(2, 1);
  blur(small, 2.0);  // mirrored more than once
}

TEST(Photometric, ViewsDependOnTheirRandomNumbersAlone) {
  const auto view = [](uint64_t seed) {
    Image image = photo_noise(16, 16);
    Rng rng(seed);
    change_colours(image, {}, rng);
    return image.pixels;
  };
  EXPECT_EQ(view(1), view(1));
  EXPECT_NE(view(1), view(2));
  // Nothing is likely to happen: the picture is as it was.
  Image image = photo_noise(16, 16);
  Rng rng(1);
  change_colours(image, {.jitter_probability = 0, .grey_probability = 0, .blur_probability = 0},
                 rng);
  EXPECT_EQ(image.pixels, photo_noise(16, 16).pixels);
}

}  // namespace
}  // namespace opencloc

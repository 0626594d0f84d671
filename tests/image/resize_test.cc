// Bit for bit what Pillow gives: against recorded checksums, and against Pillow itself where it is.
#include "opencloc/image/resize.h"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/error.h"
#include "opencloc/image/resize_kernels.h"
#include "tests/image/pillow.h"
#include "tests/image/synthetic.h"

namespace opencloc {
namespace {

using ::testing::HasSubstr;

struct Golden {
  int width, height, to_width, to_height;
  std::array<float, 4> box;
  uint64_t bilinear, bicubic;
};
constexpr Golden kGolden[] = {
#include "tests/image/golden_resizes.inc"
};

TEST(Resize, EqualsPillowsRecordedResults) {
  for (const Golden& golden : kGolden) {
    const Image image = pattern(golden.width, golden.height);
    ResizeOptions options{golden.to_width, golden.to_height};
    options.box = golden.box;
    options.interpolation = Interpolation::kBilinear;
    EXPECT_EQ(checksum(resize(image, options)), golden.bilinear)
        << golden.width << "x" << golden.height << " -> " << golden.to_width << "x"
        << golden.to_height << " bilinear";
    options.interpolation = Interpolation::kBicubic;
    EXPECT_EQ(checksum(resize(image, options)), golden.bicubic)
        << golden.width << "x" << golden.height << " -> " << golden.to_width << "x"
        << golden.to_height << " bicubic";
  }
}

TEST(Resize, EqualsPillowOnRandomSizesAndBoxes) {
  OPENCLOC_NEEDS_PILLOW();
  const ScratchFolder folder;
  run_python(folder, R"(
import numpy as np
from PIL import Image
rng = np.random.default_rng(1)
with open("cases.txt", "w") as cases:
    for i in range(150):
        w, h, tw, th = (int(v) for v in np.exp(rng.uniform(0, 6, 4)))
        image = Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8))
        x = np.sort(rng.uniform(0, w, 2)) if i % 3 == 0 else (0, w)
        y = np.sort(rng.uniform(0, h, 2)) if i % 3 == 0 else (0, h)
        box = [float(np.float32(v)) for v in (x[0], y[0], x[1], y[1])]
        how = Image.BICUBIC if i % 2 else Image.BILINEAR
        open(f"{i}.in", "wb").write(image.tobytes())
        open(f"{i}.out", "wb").write(image.resize((tw, th), how, box=box).tobytes())
        cases.write(f"{w} {h} {tw} {th} {i % 2} " + " ".join(v.hex() for v in box) + "\n")
)");
  std::istringstream cases(read_file(folder / "cases.txt"));
  for (int i = 0; i < 150; ++i) {
    Image image;
    ResizeOptions options;
    int bicubic = 0;
    std::string corners[4];
    cases >> image.width >> image.height >> options.width >> options.height >> bicubic;
    for (std::string& corner : corners) cases >> corner;
    ASSERT_TRUE(cases);
    options.box = {std::stof(corners[0]), std::stof(corners[1]), std::stof(corners[2]),
                   std::stof(corners[3])};
    options.interpolation = bicubic ? Interpolation::kBicubic : Interpolation::kBilinear;
    const std::string in = read_file(folder / (std::to_string(i) + ".in"));
    const std::string out = read_file(folder / (std::to_string(i) + ".out"));
    image.pixels.assign(in.begin(), in.end());
    const Image resized = resize(image, options);
    EXPECT_TRUE(std::equal(resized.pixels.begin(), resized.pixels.end(), out.begin(), out.end(),
                           [](uint8_t a, char b) { return a == static_cast<uint8_t>(b); }))
        << image.width << "x" << image.height << " -> " << options.width << "x" << options.height
        << (bicubic ? " bicubic" : " bilinear");
  }
}

TEST(Resize, WindowIsThatPartOfTheWhole) {
  const Image image = noise(97, 61, 2);
  ResizeOptions options{40, 90};
  const Image whole = resize(image, options);
  for (const PixelRect window : {PixelRect{0, 0, 40, 90}, PixelRect{7, 11, 20, 30},
                                 PixelRect{39, 89, 1, 1}, PixelRect{0, 50, 3, 40}}) {
    options.window = window;
    const Image part = resize(image, options);
    ASSERT_EQ(part.width, window.width);
    ASSERT_EQ(part.height, window.height);
    for (int y = 0; y < window.height; ++y) {
      const uint8_t* expected = whole.row(window.y + y) + 3 * window.x;
      EXPECT_TRUE(std::equal(part.row(y), part.row(y) + 3 * window.width, expected));
    }
  }
}

TEST(Resize, CropSeesNothingOutside) {
  Image image = noise(50, 40, 3);
  ResizeOptions options{13, 29};
  options.crop = PixelRect{10, 5, 20, 30};
  Image cut(20, 30);
  for (int y = 0; y < 30; ++y) {
    std::copy_n(image.row(5 + y) + 3 * 10, 3 * 20, cut.row(y));
  }
  EXPECT_EQ(resize(image, options).pixels, resize(cut, {13, 29}).pixels);
}

TEST(Resize, SameSizeIsACopy) {
  const Image image = noise(23, 9, 4);
  EXPECT_EQ(resize(image, {23, 9}).pixels, image.pixels);
  ResizeOptions options{23, 9};
  options.window = PixelRect{3, 2, 5, 4};
  const Image part = resize(image, options);
  EXPECT_TRUE(std::equal(part.row(3), part.row(3) + 15, image.row(5) + 9));
}

TEST(Resize, RefusesWhatMakesNoSense) {
  const Image image = noise(8, 8, 5);
  EXPECT_THROW(resize(Image{}, {4, 4}), Error);
  EXPECT_THROW(resize(image, {0, 4}), Error);
  ResizeOptions options{4, 4};
  options.crop = PixelRect{5, 0, 4, 4};
  EXPECT_THROW(resize(image, options), Error);
  options = {4, 4};
  options.window = PixelRect{0, 0, 5, 4};
  EXPECT_THROW(resize(image, options), Error);
  options = {4, 4};
  options.box = {0, 0, 9, 8};
  try {
    resize(image, options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("8x8"));
  }
}

#ifdef OPENCLOC_RESIZE_X86
// The portable passes run on machines without AVX2; here all must agree.
TEST(Resize, AllKernelsGiveTheSameBits) {
  using namespace detail;
  if (!__builtin_cpu_supports("avx2")) GTEST_SKIP() << "no AVX2 on this processor";
  Rng rng(6);
  for (int i = 0; i < 60; ++i) {
    const int width = 1 + static_cast<int>(rng.below(80)),
              height = 1 + static_cast<int>(rng.below(40));
    const int out = 1 + static_cast<int>(rng.below(60));
    const Image image = noise(width, height, 100 + i);
    const RowsIn in{image.pixels.data(), 3 * width, height, width,
                    image.pixels.data() + image.pixels.size()};
    const auto across =
        make_weights({width, 0, static_cast<float>(width), out, 0, out}, Interpolation::kBicubic);
    const ptrdiff_t stride = 3 * out + kRowSlack;
    std::vector<uint8_t> a(stride * height), b(stride * height);
    horizontal_pass_portable(in, across, {a.data(), stride});
    horizontal_pass_avx2(in, across, {b.data(), stride});
    std::vector<uint8_t> v = a;
    if (has_vnni()) horizontal_pass_vnni(in, across, {v.data(), stride});
    for (int y = 0; y < height; ++y) {
      EXPECT_TRUE(std::equal(&a[y * stride], &a[y * stride] + 3 * out, &b[y * stride]));
      EXPECT_TRUE(std::equal(&a[y * stride], &a[y * stride] + 3 * out, &v[y * stride]));
    }
    const auto down = make_weights({height, 0, static_cast<float>(height), out, 0, out},
                                   Interpolation::kBilinear);
    std::vector<uint8_t> c(3 * width * out), d(3 * width * out);
    vertical_pass_portable(in, down, {c.data(), 3 * width});
    vertical_pass_avx2(in, down, {d.data(), 3 * width});
    EXPECT_EQ(c, d);
  }
}
#endif

}  // namespace
}  // namespace opencloc

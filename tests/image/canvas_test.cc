// Canvas rules against open_clip's arithmetic, and boxes that move along.
#include "opencloc/image/canvas.h"

#include <cmath>
#include <sstream>

#include <gtest/gtest.h>

#include "opencloc/base/error.h"
#include "opencloc/image/encode.h"
#include "opencloc/image/normalize.h"
#include "tests/image/pillow.h"
#include "tests/image/synthetic.h"

namespace opencloc {
namespace {

CanvasOptions square(int side, CanvasRule rule) {
  CanvasOptions options;
  options.width = options.height = side;
  options.rule = rule;
  return options;
}

void expect_near(const Box& a, const Box& b, float tolerance = 1e-5f) {
  EXPECT_NEAR(a.x0, b.x0, tolerance);
  EXPECT_NEAR(a.y0, b.y0, tolerance);
  EXPECT_NEAR(a.x1, b.x1, tolerance);
  EXPECT_NEAR(a.y1, b.y1, tolerance);
}

// The transforms as torchvision (Resize, CenterCrop) and open_clip (ResizeKeepRatio,
// CenterCropOrPad) do them on PIL images.
TEST(Canvas, EqualsOpenClipsTransforms) {
  OPENCLOC_NEEDS_PILLOW();
  const ScratchFolder folder;
  run_python(folder, R"(
import numpy as np
from PIL import Image
rng = np.random.default_rng(3)

def centre_crop_or_pad(image, side, fill):
    w, h = image.size
    if side > w or side > h:
        left, top = max(0, (side - w) // 2), max(0, (side - h) // 2)
        padded = Image.new("RGB", (max(w, side), max(h, side)), (fill,) * 3)
        padded.paste(image, (left, top))
        image = padded
        w, h = image.size
    left, top = int(round((w - side) / 2.0)), int(round((h - side) / 2.0))
    return image.crop((left, top, left + side, top + side))

with open("cases.txt", "w") as cases:
    for i in range(60):
        w, h = (int(v) for v in np.exp(rng.uniform(0, 5.5, 2)))
        side = int(rng.integers(1, 60))
        image = Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8))
        short, long = min(w, h), max(w, h)
        if i % 3 == 0:
            new_long = int(side * long / short)
            size = (side, new_long) if w <= h else (new_long, side)
        elif i % 3 == 1:
            ratio = max(h / side, w / side)
            size = (max(1, round(w / ratio)), max(1, round(h / ratio)))
        else:
            size = (side, side)
        out = centre_crop_or_pad(image.resize(size, Image.BICUBIC), side, 77)
        open(f"{i}.in", "wb").write(image.tobytes())
        open(f"{i}.out", "wb").write(out.tobytes())
        cases.write(f"{w} {h} {side}\n")
)");
  std::istringstream cases(read_file(folder / "cases.txt"));
  constexpr CanvasRule kRules[] = {CanvasRule::kShortest, CanvasRule::kLongest,
                                   CanvasRule::kSquash};
  for (int i = 0; i < 60; ++i) {
    Image image;
    int side = 0;
    cases >> image.width >> image.height >> side;
    ASSERT_TRUE(cases);
    const std::string in = read_file(folder / (std::to_string(i) + ".in"));
    const std::string out = read_file(folder / (std::to_string(i) + ".out"));
    image.pixels.assign(in.begin(), in.end());
    CanvasOptions options = square(side, kRules[i % 3]);
    options.fill = 77;
    const Image canvas = to_canvas(image, options).image;
    EXPECT_TRUE(std::equal(canvas.pixels.begin(), canvas.pixels.end(), out.begin(), out.end(),
                           [](uint8_t a, char b) { return a == static_cast<uint8_t>(b); }))
        << image.width << "x" << image.height << " -> " << side << " rule " << i % 3;
  }
}

TEST(Canvas, MapsOfAWidePicture) {  // 200x100 onto 100x100
  const Box all{0, 0, 1, 1};
  expect_near(canvas_map(200, 100, square(100, CanvasRule::kLongest)).to_canvas(all),
              {0, 0.25f, 1, 0.75f});
  expect_near(canvas_map(200, 100, square(100, CanvasRule::kShortest)).to_canvas(all),
              {-0.5f, 0, 1.5f, 1});
  expect_near(canvas_map(200, 100, square(100, CanvasRule::kSquash)).to_canvas(all), all);
}

TEST(Canvas, CropAndFlipMoveBoxes) {
  CanvasView view;
  view.crop = PixelRect{100, 0, 100, 100};  // the right half
  view.flip = true;
  const CanvasMap map = canvas_map(200, 100, square(50, CanvasRule::kSquash), view);
  expect_near(map.to_canvas({0.5f, 0, 0.75f, 1}), {0.5f, 0, 1, 1});
  expect_near(map.to_image(map.to_canvas({0.6f, 0.1f, 0.8f, 0.4f})), {0.6f, 0.1f, 0.8f, 0.4f});
}

// A bright rectangle must be found where its box says, under every rule, crop and flip.
TEST(Canvas, BoxesLieOnWhatTheyEnclose) {
  Image image(160, 90);
  const Box box{0.25f, 0.2f, 0.5f, 0.7f};
  for (int y = 18; y < 63; ++y) std::fill(image.row(y) + 3 * 40, image.row(y) + 3 * 80, 255);
  for (const CanvasRule rule : {CanvasRule::kLongest, CanvasRule::kShortest, CanvasRule::kSquash}) {
    for (const bool flip : {false, true}) {
      CanvasView view;
      view.crop = PixelRect{20, 9, 100, 72};
      view.flip = flip;
      const auto [canvas, map] = to_canvas(image, square(80, rule), view);
      Box found{1, 1, 0, 0};
      for (int y = 0; y < canvas.height; ++y) {
        for (int x = 0; x < canvas.width; ++x) {
          if (canvas.row(y)[3 * x] < 128) continue;
          found = {std::min(found.x0, x / 80.0f), std::min(found.y0, y / 80.0f),
                   std::max(found.x1, (x + 1) / 80.0f), std::max(found.y1, (y + 1) / 80.0f)};
        }
      }
      expect_near(found, clip_to_unit(map.to_canvas(box)), 1.01f / 80);
    }
  }
}

// A JPEG decoded at a quarter lies on the canvas where the whole one does, odd sizes and crops too.
TEST(Canvas, ASmallerDecodedPictureLiesInTheSamePlace) {
  Image photo(403, 297);
  for (int y = 0; y < photo.height; ++y) {
    for (int x = 0; x < photo.width; ++x) {
      const double wave = std::sin(x * 0.05) * std::cos(y * 0.07);
      for (int c = 0; c < 3; ++c) {
        photo.row(y)[3 * x + c] = static_cast<uint8_t>(127.5 + 120 * wave);
      }
    }
  }
  const std::string jpeg = encode_jpeg(photo, 95);
  const Image whole = Image::decode(jpeg, "test");
  const Image small = Image::decode(jpeg, "test", {.shrink_to = 70});
  ASSERT_EQ(small.width, 101);
  EXPECT_EQ(small.full_width(), 403);
  const CanvasView views[] = {{}, {.crop = PixelRect{51, 33, 222, 201}, .flip = true}};
  for (const CanvasRule rule : {CanvasRule::kShortest, CanvasRule::kLongest, CanvasRule::kSquash}) {
    for (const CanvasView& view : views) {
      const auto want = to_canvas(whole, square(48, rule), view);
      const auto got = to_canvas(small, square(48, rule), view);
      EXPECT_EQ(got.map.scale_x, want.map.scale_x);
      EXPECT_EQ(got.map.scale_y, want.map.scale_y);
      EXPECT_EQ(got.map.offset_x, want.map.offset_x);
      EXPECT_EQ(got.map.offset_y, want.map.offset_y);
      ASSERT_EQ(got.image.pixels.size(), want.image.pixels.size());
      double difference = 0;
      for (size_t i = 0; i < want.image.pixels.size(); ++i) {
        difference += std::abs(int{got.image.pixels[i]} - int{want.image.pixels[i]});
      }
      EXPECT_LT(difference / static_cast<double>(want.image.pixels.size()), 1.0);
    }
  }
}

TEST(Canvas, BoxesThatLoseTooMuchAreDropped) {
  const CanvasMap map = canvas_map(200, 100, square(100, CanvasRule::kShortest));
  const float nan = std::nanf("");
  const std::vector<Box> boxes = {{0.4f, 0.2f, 0.6f, 0.8f},    // inside
                                  {0.0f, 0.0f, 0.3f, 1.0f},    // 1/6 of it is left
                                  {0.1f, 0.0f, 0.4f, 1.0f},    // half is left
                                  {0.0f, 0.0f, 0.2f, 1.0f},    // gone
                                  {0.5f, 0.5f, 0.505f, 0.9f},  // one pixel wide
                                  {0.6f, 0.2f, 0.4f, 0.8f},    // inside out
                                  {nan, 0.2f, 0.6f, 0.8f}};
  const MappedBoxes mapped = map_boxes(boxes, map, 100, 100);
  EXPECT_EQ(mapped.source, (std::vector<int>{0, 2}));
  expect_near(mapped.boxes[0], {0.3f, 0.2f, 0.7f, 0.8f});
  expect_near(mapped.boxes[1], {0, 0, 0.3f, 1});
}

TEST(Canvas, ExtremeShapesStayCheapOrFail) {
  const Image thin = noise(3000, 1, 1);
  EXPECT_EQ(to_canvas(thin, square(32, CanvasRule::kLongest)).image.height, 32);
  EXPECT_EQ(to_canvas(thin, square(224, CanvasRule::kShortest)).image.width, 224);
  EXPECT_THROW(canvas_map(100'000'000, 1, square(224, CanvasRule::kShortest)), Error);
  EXPECT_THROW(to_canvas(thin, square(0, CanvasRule::kSquash)), Error);
}

TEST(Normalize, IsTorchvisionsArithmetic) {
  const Image image = pattern(19, 13);
  const std::array<float, 3> mean{0.48145466f, 0.4578275f, 0.40821073f};
  const std::array<float, 3> std{0.26862954f, 0.26130258f, 0.27577711f};
  std::vector<float> out(3 * 19 * 13);
  normalize_chw(image, mean, std, out.data());
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < 13; ++y) {
      for (int x = 0; x < 19; ++x) {
        const float expected = (image.row(y)[3 * x + c] / 255.0f - mean[c]) / std[c];
        EXPECT_EQ(out[(c * 13 + y) * 19 + x], expected);
      }
    }
  }
}

// CLIPSelf's ResizeLongest: the padding is on the right and below.
TEST(Canvas, CornerIsLongestWithThePaddingBehind) {
  const CanvasOptions corner{.width = 32, .height = 32, .rule = CanvasRule::kCorner, .fill = 7};
  const CanvasMap map = canvas_map(40, 20, corner);
  EXPECT_FLOAT_EQ(map.offset_x, 0);
  EXPECT_FLOAT_EQ(map.offset_y, 0);
  EXPECT_FLOAT_EQ(map.scale_x, 1);
  EXPECT_FLOAT_EQ(map.scale_y, 0.5f);
  Image picture(40, 20);
  std::fill(picture.pixels.begin(), picture.pixels.end(), uint8_t{200});
  const CanvasImage canvas = to_canvas(picture, corner);
  EXPECT_EQ(canvas.image.row(0)[0], 200);
  EXPECT_EQ(canvas.image.row(15)[0], 200);
  EXPECT_EQ(canvas.image.row(16)[0], 7);
  EXPECT_EQ(canvas.image.row(31)[0], 7);
}

}  // namespace
}  // namespace opencloc

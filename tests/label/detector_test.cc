#include "opencloc/label/detector.h"

#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/encode/text_encoder.h"
#include "opencloc/model/clip/preprocess.h"
#include "tests/api/tiny_model_directory.h"
#include "tests/data/tar_maker.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::TempFolder;
using ::testing::Each;
using ::testing::Field;
using ::testing::HasSubstr;

constexpr float kAll = -2;  // below any score

Image picture(int width, int height, int seed) {
  Image image(width, height);
  for (size_t i = 0; i < image.pixels.size(); ++i)
    image.pixels[i] = static_cast<uint8_t>((i * static_cast<size_t>(7 + seed) + i / 50) % 256);
  return image;
}

void expect_same(const std::vector<Candidate>& a, const std::vector<Candidate>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].text, b[i].text);
    EXPECT_NEAR(a[i].score, b[i].score, 1e-4);
    EXPECT_NEAR(a[i].box.x0, b[i].box.x0, 1e-3);
    EXPECT_NEAR(a[i].box.y1, b[i].box.y1, 1e-3);
  }
}

// A picture's answer is its own, whatever else is in the batch and however long it ran before.
void expect_batches_do_not_matter(Detector& detector) {
  const Image wide = picture(64, 60, 1), high = picture(40, 44, 2), small = picture(5, 5, 3);
  const std::vector<DetectorQuery> queries = {{&wide, {"a red car", "two dogs"}},
                                              {&high, {"two dogs"}},
                                              {&small, {"bus", "a tree", "car"}}};
  const auto together = detector.detect(queries, kAll);
  ASSERT_EQ(together.size(), 3U);
  for (size_t i = 0; i < queries.size(); ++i) {
    EXPECT_FALSE(together[i].empty());
    for (const auto& candidate : together[i]) {
      EXPECT_THAT(queries[i].phrases, ::testing::Contains(candidate.text));
      EXPECT_GT(candidate.box.area(), 0);
      EXPECT_EQ(candidate.box, clip_to_unit(candidate.box));
    }
    expect_same(detector.detect({&queries[i], 1}, kAll)[0], together[i]);
  }
  float highest = -1;
  for (const auto& candidate : together[0]) highest = std::max(highest, candidate.score);
  EXPECT_TRUE(detector.detect({queries.data(), 1}, highest + 0.01f)[0].empty());
}

TEST(ClocDetector, OneBoxAPhraseScoredByItsOwnRegion) {
  const TempFolder folder;
  fixtures::write_tiny_model(folder / "model");
  const auto detector = cloc_detector(folder / "model", {});
  expect_batches_do_not_matter(*detector);

  // By hand: ground, embed the box, compare.
  const torch::NoGradGuard no_grad;
  LoadedModel loaded = load_model(folder / "model");
  const Image image = picture(40, 40, 4);
  auto features =
      loaded.model->encode_image(preprocess(image, loaded.model->config()).pixels.unsqueeze(0));
  TextEncoder encoder(loaded.model, *loaded.tokenizer, 4);
  const auto text = encoder.encode({"a blue bus"});
  const auto index = torch::zeros({1}, torch::kInt64);
  const auto box = loaded.model->ground(features, text, index);
  const auto region = loaded.model->encode_regions(features, box_prompts(box.clamp(0, 1), index));
  const float cycle = (normalized(region) * normalized(text)).sum().item<float>();
  const DetectorQuery query{&image, {"a blue bus"}};
  const auto found = detector->detect({&query, 1}, kAll)[0];
  ASSERT_EQ(found.size(), 1U);
  EXPECT_NEAR(found[0].score, cycle, 1e-4);
  EXPECT_NEAR(found[0].box.x1, std::min(1.0f, box[0][2].item<float>()), 1e-4);
}

TEST(ClocDetector, NeedsTrainedHeads) {
  const TempFolder folder;
  fixtures::write_tiny_model(folder / "clip", {.region_heads = false});
  try {
    cloc_detector(folder / "clip", {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("no trained region heads"));
  }
  EXPECT_THROW(owlv2_detector(folder / "clip", {}), Error);
}

TEST(Owlv2Detector, AnyResolutionAndBatch) {
  const char* given = std::getenv("OPENCLOC_TEST_DATA");
  const fs::path data =
      given != nullptr ? fs::path(given) : fs::path(OPENCLOC_SOURCE_DIR).parent_path() / "shared";
  const fs::path model = data / "parity" / "owlv2-tiny", vocabulary = data / "data" / "clip";
  if (!fs::exists(model) || !fs::exists(vocabulary))
    GTEST_SKIP() << "no reference model in " << model << " (set OPENCLOC_TEST_DATA)";
  EXPECT_THROW(owlv2_detector(model, {}), Error);  // has no tokenizer
  for (const int64_t resolution : {0, 64, 160}) {
    DetectorOptions options;
    options.tokenizer = vocabulary;
    options.resolution = resolution;
    const auto detector = owlv2_detector(model, options);
    EXPECT_EQ(detector->config()["resolution"], resolution == 0 ? 96 : resolution);
    expect_batches_do_not_matter(*detector);
  }
}

}  // namespace
}  // namespace opencloc

#include "opencloc/api/opencloc.h"

#include <cmath>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>
#include <unistd.h>

#include "opencloc/api/impl.h"
#include "opencloc/image/encode.h"
#include "opencloc/model/clip/preprocess.h"
#include "tests/api/tiny_model_directory.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

using opencloc::fixtures::TinyModel;
using opencloc::fixtures::write_tiny_model;

Image spotted(int width, int height, int seed) {
  Image image(width, height);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < 3 * width; ++x) {
      image.row(y)[x] = static_cast<uint8_t>((x * (seed + 3) + y * 11) % 256);
    }
  }
  return image;
}

Mask all_inside(int width, int height) {
  return {width, height, std::vector<uint8_t>(static_cast<size_t>(width) * height, 1)};
}

void expect_near(const Embedding& a, const Embedding& b) { EXPECT_NEAR(similarity(a, b), 1, 1e-5); }

class ApiTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ =
        std::filesystem::path(::testing::TempDir()) / ("opencloc_api_" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
    write_tiny_model(folder_ / "model");
  }
  static void TearDownTestSuite() { std::filesystem::remove_all(folder_); }
  static Model load(const TinyModel& tiny, const std::string& name) {
    write_tiny_model(folder_ / name, tiny);
    return Model::load(folder_ / name, {.device = "cpu"});
  }

  static std::filesystem::path folder_;
  Model model_ = Model::load(folder_ / "model", {.device = "cpu"});
  Scene scene_ = model_.encode(spotted(60, 40, 1));
};
std::filesystem::path ApiTest::folder_;

TEST_F(ApiTest, RegionsComeWithTheirQualityWhereTheModelSaysIt) {
  const std::vector<Box> boxes = {{0, 0, 1, 1}, {0.1f, 0.2f, 0.4f, 0.9f}};
  EXPECT_FALSE(model_.has_quality_head());
  EXPECT_THAT(fixtures::error_of([&] { scene_.rated_regions(boxes); }),
              ::testing::HasSubstr("how well boxes hold objects"));
  const Model judge = load({.quality_head = true}, "judge");
  EXPECT_TRUE(judge.has_quality_head());
  const Scene scene = judge.encode(spotted(60, 40, 1));
  const auto plain = scene.regions(boxes);
  const auto rated = scene.rated_regions(boxes);
  ASSERT_EQ(rated.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(rated[i].embedding, plain[i]);
    EXPECT_GT(rated[i].quality, 0);
    EXPECT_LT(rated[i].quality, 1);
  }
  EXPECT_NE(rated[0].quality, rated[1].quality);
}

TEST_F(ApiTest, LoadTellsWhatItHolds) {
  EXPECT_EQ(model_.embedding_width(), 24);
  EXPECT_EQ(model_.image_size(), 32);
  EXPECT_TRUE(model_.has_region_heads());
  EXPECT_EQ(scene_.width(), 60);
  EXPECT_EQ(scene_.height(), 40);
  EXPECT_THAT(std::string(version()), ::testing::MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+"));
}

TEST_F(ApiTest, EveryEmbeddingHasUnitLength) {
  for (const auto& embedding :
       {scene_.embedding(), scene_.region({0.1f, 0.2f, 0.5f, 0.7f}),
        scene_.region(Point{0.5f, 0.5f}), scene_.region(all_inside(6, 4)),
        scene_.region("a red car"), model_.encode_text("a red car"), model_.encode_text("")}) {
    EXPECT_EQ(embedding.values.size(), 24u);
    expect_near(embedding, embedding);
  }
}

TEST_F(ApiTest, AgreesWithTheModelUnderneath) {
  LoadedModel loaded = load_model(folder_ / "model");
  loaded.model->eval();
  const torch::NoGradGuard no_grad;
  const ModelInput input = preprocess(spotted(60, 40, 1), loaded.model->config());
  const auto features = loaded.model->encode_image(input.pixels.unsqueeze(0));
  const auto as_embedding = [](const torch::Tensor& row) {
    const auto unit = normalized(row).contiguous();
    return Embedding{{unit.data_ptr<float>(), unit.data_ptr<float>() + unit.numel()}};
  };
  expect_near(scene_.embedding(), as_embedding(features.embedding[0]));

  // The longest side is 60, so 40 rows are padded by a sixth of the canvas above and below.
  const Box canvas = input.map.to_canvas({0.1f, 0.2f, 0.5f, 0.7f});
  EXPECT_NEAR(canvas.y0, 1.0 / 6 + 0.2 * 2 / 3, 0.02);
  const auto index = torch::zeros({1}, torch::kInt64);
  const auto box = torch::tensor({{canvas.x0, canvas.y0, canvas.x1, canvas.y1}});
  const auto region = loaded.model->encode_regions(features, box_prompts(box, index));
  expect_near(scene_.region({0.1f, 0.2f, 0.5f, 0.7f}), as_embedding(region[0]));

  const auto tokens = tokenize(*loaded.tokenizer, "a blue bus", 16);
  const auto text =
      loaded.model->encode_text(torch::tensor(tokens.ids).to(torch::kInt64).unsqueeze(0));
  expect_near(model_.encode_text("a blue bus"), as_embedding(text[0]));

  const auto found = loaded.model->ground(features, text, index)[0];
  const Box expected =
      clip_to_unit(input.map.to_image({found[0].item<float>(), found[1].item<float>(),
                                       found[2].item<float>(), found[3].item<float>()}));
  const Box answer = scene_.ground("a blue bus");
  EXPECT_NEAR(answer.x0, expected.x0, 1e-5);
  EXPECT_NEAR(answer.y0, expected.y0, 1e-5);
  EXPECT_NEAR(answer.x1, expected.x1, 1e-5);
  EXPECT_NEAR(answer.y1, expected.y1, 1e-5);
}

TEST_F(ApiTest, ManyAtOnceAreTheSameAsOneByOne) {
  const std::vector<Image> images{spotted(60, 40, 1), spotted(20, 50, 2), spotted(32, 32, 3)};
  const auto scenes = model_.encode(images);
  ASSERT_EQ(scenes.size(), images.size());
  for (size_t i = 0; i < images.size(); ++i) {
    const Scene alone = model_.encode(images[i]);
    expect_near(scenes[i].embedding(), alone.embedding());
    expect_near(scenes[i].region({0, 0, 0.5f, 1}), alone.region({0, 0, 0.5f, 1}));
  }
  std::vector<Box> boxes;  // more than one piece
  for (int i = 0; i < 300; ++i) boxes.push_back({0, 0, 0.1f + 0.003f * static_cast<float>(i), 1});
  const auto regions = scene_.regions(boxes);
  ASSERT_EQ(regions.size(), boxes.size());
  for (const size_t i : {size_t{0}, size_t{255}, size_t{256}, size_t{299}}) {
    expect_near(regions[i], scene_.region(boxes[i]));
  }
  const std::vector<std::string> texts{"a red car", "two dogs in the street", ""};
  const auto embeddings = model_.encode_text(texts);
  const auto places = scene_.ground(embeddings);
  for (size_t i = 0; i < texts.size(); ++i) {
    expect_near(embeddings[i], model_.encode_text(texts[i]));
    EXPECT_NEAR(iou(places[i], scene_.ground(texts[i])), 1, 1e-4);
  }
  EXPECT_TRUE(model_.encode(std::span<const Image>()).empty());
  EXPECT_TRUE(model_.encode_text(std::span<const std::string>()).empty());
  EXPECT_TRUE(scene_.regions({}).empty());
}

TEST_F(ApiTest, PromptsDependOnWhereTheyPoint) {
  EXPECT_LT(similarity(scene_.region({0, 0, 0.3f, 0.3f}), scene_.region({0.6f, 0.6f, 1, 1})),
            0.999);
  EXPECT_LT(similarity(scene_.region(Point{0.1f, 0.1f}), scene_.region(Point{0.9f, 0.9f})), 0.999);
  EXPECT_LT(similarity(scene_.region("a red car"), scene_.region("two dogs")), 0.9999);
}

TEST_F(ApiTest, UnusablePromptsAreErrors) {
  EXPECT_THROW(scene_.region({0.5f, 0.5f, 0.5f, 0.9f}), Error);
  EXPECT_THROW(scene_.region({0.5f, 0.5f, 0.1f, 0.9f}), Error);
  EXPECT_THROW(scene_.region({1.5f, 0.5f, 1.9f, 0.9f}), Error);
  EXPECT_THROW(scene_.region({0, 0, std::nanf(""), 1}), Error);
  EXPECT_THROW(scene_.region(Point{-0.1f, 0.5f}), Error);
  EXPECT_THROW(scene_.region(Point{std::nanf(""), 0.5f}), Error);
  EXPECT_THROW(scene_.ground(Embedding{{1, 0}}), Error);
  EXPECT_THROW(similarity(Embedding{{1, 0}}, scene_.embedding()), Error);
  EXPECT_THROW(model_.encode(Image{}), Error);
  EXPECT_THROW(Model::load(folder_ / "nothing"), Error);
  EXPECT_THROW(Model::load(folder_ / "model", {.device = "abacus"}), Error);
}

TEST_F(ApiTest, BoxesThatStickOutAreCutAtThePicture) {
  expect_near(scene_.region({-1, -1, 2, 2}), scene_.region({0, 0, 1, 1}));
}

TEST_F(ApiTest, CentreCropSeesTheMiddleAlone) {
  const Model model = load({.canvas = CanvasRule::kShortest}, "cropping");
  const Scene scene = model.encode(spotted(90, 30, 1));  // the middle third is seen
  EXPECT_THROW(scene.region({0, 0, 0.3f, 1}), Error);
  EXPECT_THROW(scene.region(Point{0.1f, 0.5f}), Error);
  EXPECT_EQ(scene.region({0.4f, 0, 0.6f, 1}).values.size(), 24u);
  expect_near(scene.region(all_inside(9, 3)), scene.region(all_inside(9, 3)));
  const Box box = scene.ground("a red car");
  EXPECT_GE(box.x0, 1.0f / 3 - 0.01f);
  EXPECT_LE(box.x1, 2.0f / 3 + 0.01f);
  std::vector<uint8_t> left(27);
  left[0] = left[9] = left[18] = 1;
  EXPECT_THROW(scene.region(Mask(9, 3, left)), Error);
}

TEST_F(ApiTest, PlainClipHasNoRegions) {
  const Model model = load({.region_heads = false}, "clip");
  EXPECT_FALSE(model.has_region_heads());
  const Scene scene = model.encode(spotted(60, 40, 1));
  EXPECT_GE(similarity(scene.embedding(), model.encode_text("a red car")), -1);
  EXPECT_THROW(scene.region({0, 0, 1, 1}), Error);
  EXPECT_THROW(scene.region("a red car"), Error);
  EXPECT_THROW(scene.ground("a red car"), Error);
}

TEST_F(ApiTest, RoiAlignModelsTakeBoxesAndTexts) {
  const Model model = load({.extractor = RegionExtractor::kRoiAlign}, "roi");
  const Scene scene = model.encode(spotted(60, 40, 1));
  EXPECT_EQ(scene.region({0, 0, 0.5f, 0.5f}).values.size(), 24u);
  EXPECT_GE(scene.ground("a red car").width(), 0);
  EXPECT_THROW(scene.region(Point{0.5f, 0.5f}), Error);
  EXPECT_THROW(scene.region(all_inside(2, 2)), Error);
}

TEST_F(ApiTest, ScenesOutliveTheirModelAndBatch) {
  std::optional<Scene> kept;
  {
    const Model model = Model::load(folder_ / "model", {.device = "cpu"});
    const std::vector<Image> images{spotted(20, 20, 5), spotted(60, 40, 1)};
    kept = model.encode(images)[1];
  }
  expect_near(kept->region({0, 0, 0.5f, 0.5f}), scene_.region({0, 0, 0.5f, 0.5f}));
}

TEST_F(ApiTest, ThreadsShareAModel) {
  const Image image = spotted(60, 40, 1);
  const Embedding region = scene_.region({0.1f, 0.2f, 0.5f, 0.7f});
  const Embedding text = model_.encode_text("two dogs in the street");
  std::vector<std::thread> threads;
  std::vector<float> worst(4, 1);
  for (size_t t = 0; t < worst.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        const Scene scene = model_.encode(image);
        worst[t] = std::min({worst[t], similarity(scene.region({0.1f, 0.2f, 0.5f, 0.7f}), region),
                             similarity(scene_.region({0.1f, 0.2f, 0.5f, 0.7f}), region),
                             similarity(model_.encode_text("two dogs in the street"), text)});
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (const float similar : worst) EXPECT_NEAR(similar, 1, 1e-5);
}

TEST_F(ApiTest, PicturesFilledByHandAreChecked) {
  Image good(4, 3);
  EXPECT_EQ(model_.encode(good).width(), 4);
  std::vector<Image> bad(6, good);
  bad[0].width = 400;                // would be read past its end
  bad[1].pixels.resize(35);          // a byte too few
  bad[2].width = bad[2].height = 0;  // nothing
  bad[3].width = bad[3].height = -1;
  bad[4].shrink = 0;
  bad[5].stored_width = 9;  // not decoded smaller
  for (const Image& image : bad) {
    EXPECT_THAT(fixtures::error_of([&] { model_.encode(image); }),
                ::testing::HasSubstr("a picture"));
    EXPECT_THAT(fixtures::error_of([&] { preprocess(image, model_.impl().model->config()); }),
                ::testing::HasSubstr("a picture"));
  }
}

TEST_F(ApiTest, ASceneIsAsLargeAsTheStoredPicture) {
  write_file(folder_ / "large.jpg", encode_jpeg(spotted(301, 203, 2), 90));
  const Image draft = Image::read(folder_ / "large.jpg", {.shrink_to = 32});
  ASSERT_LT(draft.width, 301);
  const Scene scene = model_.encode(draft);
  EXPECT_EQ(scene.width(), 301);
  EXPECT_EQ(scene.height(), 203);
}

TEST_F(ApiTest, LoadingLeavesTheHostsGeneratorAlone) {
  write_tiny_model(folder_ / "plain", {.region_heads = false});
  for (const char* name : {"model", "plain"}) {
    torch::manual_seed(5);
    const auto expected = torch::randn({4});
    torch::manual_seed(5);
    Model::load(folder_ / name, {.device = "cpu"});
    EXPECT_TRUE(torch::randn({4}).equal(expected)) << name;
  }
}

TEST_F(ApiTest, ABoxThatIsNoNumberIsAnError) {
  LoadedModel broken = load_model(folder_ / "model");
  {
    const torch::NoGradGuard no_grad;
    for (auto& [name, weight] : broken.model->region_weights()) {
      // Numbers that a file may hold, and whose products it may not: infinities that cancel.
      if (name.starts_with("box_head.")) weight.copy_(torch::randn_like(weight).sign() * 3e38);
    }
  }
  SaveOptions options;
  options.tokenizer = broken.tokenizer.get();
  save_model(folder_ / "broken", broken.model, options);
  const Scene scene = Model::load(folder_ / "broken").encode(spotted(20, 20, 1));
  EXPECT_THAT(fixtures::error_of([&] { scene.ground("a red car"); }, 1),
              ::testing::HasSubstr("not finite"));
}

TEST(MaskTest, BoundsAndSamples) {
  // . . . .
  // . # # .
  // . . # .
  const Mask mask(4, 3, {0, 0, 0, 0, 0, 1, 9, 0, 0, 0, 255, 0});
  EXPECT_EQ(mask.bounds(), (Box{0.25f, 1.0f / 3, 0.75f, 1}));
  const auto points = mask.sample(3);
  ASSERT_EQ(points.size(), 3u);
  EXPECT_FLOAT_EQ(points[0].x, 1.5f / 4);
  EXPECT_FLOAT_EQ(points[0].y, 1.5f / 3);
  EXPECT_FLOAT_EQ(points[2].x, 2.5f / 4);
  EXPECT_FLOAT_EQ(points[2].y, 2.5f / 3);
  EXPECT_EQ(mask.sample(8).size(), 8u);  // more than there are pixels
}

TEST(MaskTest, BadMasksAreErrors) {
  EXPECT_THROW(Mask(2, 2, {1, 1, 1}), Error);
  EXPECT_THROW(Mask(0, 0, {}), Error);
  EXPECT_THROW(Mask(-1, -1, {1}), Error);
  EXPECT_THROW(Mask(2, 1, {0, 0}), Error);
}

}  // namespace
}  // namespace opencloc

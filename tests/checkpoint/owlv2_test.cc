// OWLv2: the same numbers as transformers on the reference vectors of parity/owlv2-tiny (skipped,
// visibly, where these are absent), and what holds without them.
#include <cstdlib>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/json.h"
#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/checkpoint/layout/owlv2_layout.h"
#include "opencloc/image/image.h"
#include "opencloc/model/owlv2/owlv2_input.h"
#include "tests/base/temp_folder.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;

ModelConfig small_owlv2() {
  ModelConfig config;
  config.embed_dim = 16;
  config.vision = {.image_size = 32, .patch_size = 8, .width = 24, .layers = 2, .head_width = 12};
  config.text = {.context_length = 8, .vocab_size = 50, .width = 16, .heads = 2, .layers = 1};
  return config;
}

Image gradient(int width, int height) {
  Image image(width, height);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      uint8_t* pixel = image.row(y) + static_cast<size_t>(3 * x);
      pixel[0] = static_cast<uint8_t>(x * 255 / width);
      pixel[1] = static_cast<uint8_t>(y * 255 / height);
      pixel[2] = static_cast<uint8_t>((x * 7 + y * 13) % 256);
    }
  }
  return image;
}

class Owlv2Parity : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* given = std::getenv("OPENCLOC_TEST_DATA");
    folder_ = (given != nullptr ? fs::path(given)
                                : fs::path(OPENCLOC_SOURCE_DIR).parent_path() / "shared") /
              "parity" / "owlv2-tiny";
    if (!fs::exists(folder_))
      GTEST_SKIP() << "no reference vectors in " << folder_ << " (set OPENCLOC_TEST_DATA)";
    expected_ = std::make_unique<SafetensorsFile>(folder_ / "expected.safetensors");
    loaded_ = load_owlv2(folder_);
  }
  torch::Tensor expected(const std::string& name) const { return expected_->tensor(name).clone(); }
  void expect_near(const torch::Tensor& actual, const std::string& name, double tolerance) const {
    const auto wanted = expected(name);
    ASSERT_EQ(actual.sizes(), wanted.sizes()) << name;
    EXPECT_LE((actual - wanted).abs().max().item<double>(), tolerance) << name;
  }

  fs::path folder_;
  std::unique_ptr<SafetensorsFile> expected_;
  LoadedOwlv2 loaded_;
};

TEST_F(Owlv2Parity, FromReadyTensors) {
  const torch::NoGradGuard no_grad;
  auto& model = *loaded_.model;
  const auto features = model.encode_image(expected("pixel_values"));
  const auto queries = model.encode_queries(expected("input_ids"));
  expect_near(queries.unsqueeze(0).expand({3, -1, -1}), "text_embeds", 1e-5);
  expect_near(features.patches.view({3, 6, 6, -1}), "image_embeds", 1e-4);
  expect_near(features.class_embeds, "class_embeds", 1e-4);
  expect_near(features.boxes, "pred_boxes", 1e-4);
  expect_near(features.objectness_logits, "objectness_logits", 1e-4);
  expect_near(model.class_logits(features, queries), "logits", 1e-4);
}

TEST_F(Owlv2Parity, FromTheImageFiles) {
  const torch::NoGradGuard no_grad;
  const auto& config = loaded_.model->config();
  std::vector<torch::Tensor> pictures;
  const Json inputs = read_json(folder_ / "inputs.json");
  for (const auto& name : inputs["images"]) {
    const auto image = Image::read(folder_ / "images" / name.get<std::string>());
    pictures.push_back(owlv2_input(image, {config.vision.image_size}));
  }
  const auto pixels = torch::stack(pictures);  // [B, 3, S, S]
  const auto difference = (pixels - expected("pixel_values")).abs();
  RecordProperty("pixel_values_max", std::to_string(difference.max().item<double>()));
  EXPECT_LE(difference.max().item<double>(), 1e-4);
  const auto boxes = loaded_.model->encode_image(pixels).boxes;
  const double pixel = (boxes - expected("pred_boxes")).abs().max().item<double>() *
                       static_cast<double>(config.vision.image_size);
  RecordProperty("pred_boxes_pixels", std::to_string(pixel));
  EXPECT_LE(pixel, 1);
}

// The whole picture padded first, then resized: what the function says it equals.
torch::Tensor padded_first(const Image& image, int64_t side) {
  const int longest = std::max(image.width, image.height);
  Image square(longest, longest);
  std::fill(square.pixels.begin(), square.pixels.end(), uint8_t{128});
  for (int y = 0; y < image.height; ++y)
    std::copy_n(image.row(y), static_cast<size_t>(image.width) * 3, square.row(y));
  return owlv2_input(square, {side});
}

TEST(Owlv2Input, EqualsPaddingTheWholePictureFirst) {
  for (const auto& [width, height] : std::vector<std::pair<int, int>>{
           {96, 96}, {200, 60}, {60, 200}, {31, 17}, {640, 3}, {1, 500}, {97, 96}, {1000, 999}}) {
    const auto image = gradient(width, height);
    for (const int64_t side : {32, 48, 96}) {
      const auto difference = (owlv2_input(image, {side}) - padded_first(image, side)).abs();
      // 128 / 255 for 0.5 in the padding.
      EXPECT_LE(difference.max().item<double>(), 0.0081) << width << "x" << height << " " << side;
    }
  }
}

TEST(Owlv2Input, PaddingIsExactlyHalf) {
  const Owlv2InputOptions options{32};
  const auto pixels = owlv2_input(gradient(100, 10), options);
  for (int64_t c = 0; c < 3; ++c) {
    const auto channel = static_cast<size_t>(c);
    EXPECT_EQ(pixels[c][31][31].item<float>(),
              (0.5f - options.mean[channel]) / options.std[channel]);
  }
}

TEST(Owlv2Input, BoxesComeBackThroughThePadding) {
  // The upper left quarter of the canvas of a picture twice as wide as high.
  const Box box = owlv2_box_to_image({0, 0, 0.5f, 0.25f}, 200, 100);
  EXPECT_FLOAT_EQ(box.x1, 0.5f);
  EXPECT_FLOAT_EQ(box.y1, 0.5f);
  EXPECT_EQ(owlv2_box_to_image({0.1f, 0.6f, 0.9f, 0.9f}, 200, 100).area(), 0);  // in the padding
  EXPECT_FLOAT_EQ(owlv2_box_to_image({0, 0, 1, 1}, 200, 100).y1, 1);            // clipped
}

TEST(Owlv2, AnotherResolution) {
  torch::manual_seed(1);
  const torch::NoGradGuard no_grad;
  Owlv2 model(small_owlv2());
  EXPECT_EQ(at_resolution(model, 32).ptr(), model.ptr());
  EXPECT_THROW(at_resolution(model, 36), Error);
  EXPECT_THROW(at_resolution(model, 0), Error);

  Owlv2 larger = at_resolution(model, 64);
  const auto features = larger->encode_image(torch::randn({2, 3, 64, 64}));
  EXPECT_EQ(features.boxes.sizes(), torch::IntArrayRef({2, 64, 4}));
  EXPECT_EQ(features.class_embeds.sizes(), torch::IntArrayRef({2, 64, 16}));
  // A patch's box lies where the patch does: the bias of the first and of the last differ.
  const auto centres = features.boxes[0].slice(1, 0, 2);
  EXPECT_LT(centres[0].max().item<float>(), centres[63].min().item<float>());
  // Downwards and up again the class token's position is untouched.
  const auto position = [](const Owlv2& m) {
    return m->named_parameters()["visual.positional_embedding"];
  };
  EXPECT_TRUE(torch::equal(position(larger)[0], position(model)[0]));
  // A position embedding that is the same everywhere stays so.
  position(model).slice(0, 1).fill_(0.25);
  EXPECT_TRUE(
      torch::allclose(position(at_resolution(model, 64)).slice(0, 1), torch::full({64, 24}, 0.25)));
}

TEST(Owlv2, QueriesAreSharedOrOneListAnImage) {
  torch::manual_seed(2);
  const torch::NoGradGuard no_grad;
  Owlv2 model(small_owlv2());
  const auto features = model->encode_image(torch::randn({2, 3, 32, 32}));
  const auto queries = model->encode_queries(torch::randint(1, 50, {3, 8}));
  const auto shared = model->class_logits(features, queries);
  EXPECT_EQ(shared.sizes(), torch::IntArrayRef({2, 16, 3}));
  EXPECT_TRUE(torch::allclose(
      model->class_logits(features, torch::stack({queries, queries.flip({0})}))[1].flip({1}),
      shared[1], 1e-5, 1e-6));
}

std::string loading_error(const fs::path& directory) {
  try {
    load_owlv2(directory);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Owlv2Layout, WhatIsWrongIsNamed) {
  const opencloc::fixtures::TestFolder folder;
  EXPECT_THAT(loading_error(folder.path()), ::testing::HasSubstr("not an OWLv2 directory"));
  write_file(folder.path() / "config.json", R"({"model_type": "clip"})");
  EXPECT_THAT(loading_error(folder.path()), ::testing::HasSubstr("not an OWLv2 directory"));
  write_file(folder.path() / "config.json",
             R"({"model_type": "owlv2", "projection_dim": 16,
                 "vision_config": {"hidden_size": 24, "intermediate_size": 48, "image_size": 32,
                   "patch_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2},
                 "text_config": {"hidden_size": 16, "intermediate_size": 24, "vocab_size": 60000,
                   "num_hidden_layers": 1, "num_attention_heads": 2}})");
  EXPECT_THAT(loading_error(folder.path()), ::testing::HasSubstr("no model.safetensors"));
  write_safetensors(folder.path() / "model.safetensors",
                    {{"class_head.dense0.bias", torch::zeros(7)}});
  EXPECT_THAT(loading_error(folder.path()),
              ::testing::AllOf(::testing::HasSubstr("missing"), ::testing::HasSubstr("owlv2."),
                               ::testing::HasSubstr("1 of another shape: class_head.dense0.bias")));
  const auto config = owlv2_layout::read_config(folder.path());
  EXPECT_EQ(config.text.context_length, 16);  // OWLv2's default, not CLIP's
  EXPECT_EQ(config.text.mlp_ratio, 1.5);
}

}  // namespace
}  // namespace opencloc

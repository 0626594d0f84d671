// Rotary positions of the image tower, and PE-Core's tower that has them.
#include "opencloc/model/layers/rotary.h"

#include <cmath>
#include <functional>
#include <string>

#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/model/clip/resize.h"
#include "opencloc/model/quantized.h"
#include "tests/model/small_model.h"

namespace opencloc {
namespace {

constexpr int64_t kGrid = 3, kHeads = 2, kHeadWidth = 8;
const RotationOptions kOptions{kGrid, 6, kHeadWidth, true};

ModelConfig small_pe_core(bool class_token) {
  auto config = fixtures::small_config();
  config.vision.head_width = 8;
  config.vision.class_token = class_token;
  config.vision.pool = ImagePool::kAttention;
  config.vision.projection_bias = true;
  config.vision.rotary_grid = config.vision.grid();
  config.vision.map_heads = 2;
  config.vision.map_mlp_ratio = 3;
  return config;
}

double largest_difference(const torch::Tensor& a, const torch::Tensor& b) {
  return (a.to(torch::kFloat) - b.to(torch::kFloat)).abs().max().item<double>();
}

// Every number written out: the pair (a, b) of a patch at column x, row y turns by an angle.
TEST(Rotary, TurnsPairsByColumnAndRow) {
  torch::manual_seed(1);
  const int64_t width = kHeads * kHeadWidth, tokens = 1 + kGrid * kGrid;
  const auto qkv = torch::randn({2, tokens, 3 * width});
  const auto found = rotated(qkv, kHeads, rotation_of_grid(kOptions, torch::kCPU));
  ASSERT_EQ(found.sizes(), qkv.sizes());
  const auto in = qkv.accessor<float, 3>(), out = found.accessor<float, 3>();
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t i = 0; i < 3 * width; ++i) {
        const bool still = t == 0 || i >= 2 * width;  // the class token; values
        double wanted = in[b][t][i];
        if (!still) {
          const int64_t pair = i % kHeadWidth / 2, bands = kHeadWidth / 4;
          const int64_t place = 1 + (pair < bands ? (t - 1) % kGrid : (t - 1) / kGrid);
          const double angle = static_cast<double>(place) * 6 / kGrid *
                               std::pow(10000.0, -static_cast<double>(pair % bands) / bands);
          const double first = in[b][t][i - i % 2], second = in[b][t][i - i % 2 + 1];
          wanted = i % 2 == 0 ? first * std::cos(angle) - second * std::sin(angle)
                              : second * std::cos(angle) + first * std::sin(angle);
        }
        ASSERT_NEAR(out[b][t][i], wanted, 1e-5) << t << ' ' << i;
      }
    }
  }
}

// A turn back is the transposed map: <gradient, change> = <upstream, what the change becomes>.
TEST(Rotary, GradientIsTheTurnBack) {
  const auto rotation = rotation_of_grid(kOptions, torch::kCPU);
  auto qkv = torch::randn({2, 10, 48}).requires_grad_();
  const auto upstream = torch::randn({2, 10, 48}), change = torch::randn({2, 10, 48});
  (rotated(qkv, kHeads, rotation) * upstream).sum().backward();
  EXPECT_NEAR((qkv.grad() * change).sum().item<double>(),
              (rotated(change, kHeads, rotation) * upstream).sum().item<double>(), 1e-3);
}

TEST(Rotary, RowsAndTokensThatStandStill) {
  const auto whole = rotation_of_grid(kOptions, torch::kCPU);
  const auto rows = torch::tensor({{0, 5, 2}, {0, 9, 9}});
  const auto some = whole.of(rows);
  EXPECT_TRUE(torch::equal(some.cos[1][1], whole.cos[9]));
  EXPECT_TRUE(torch::equal(some.sin[0][2], whole.sin[2]));
  for (const auto& longer : {whole.then_still(2), some.then_still(2)}) {
    EXPECT_TRUE(longer.cos.slice(-2, -2).eq(1).all().item<bool>());
    EXPECT_TRUE(longer.sin.slice(-2, -2).eq(0).all().item<bool>());
  }
  EXPECT_FALSE(Rotation{}.then_still(2).defined());
  EXPECT_EQ(whole.then_still(2).cos.size(0), 12);
}

TEST(Rotary, TheTowerDependsOnThePlaces) {
  auto config = small_pe_core(true);
  auto model = fixtures::random_model(config);
  const auto pixels = torch::randn({2, 3, 32, 32});
  const auto features = model->encode_image(pixels);
  EXPECT_EQ(features.tokens.sizes(), (torch::IntArrayRef{2, 17, 32}));
  EXPECT_EQ(features.embedding.sizes(), (torch::IntArrayRef{2, 24}));
  // Without the learned positions, too.
  {
    const torch::NoGradGuard no_grad;
    model->named_parameters()["visual.positional_embedding"].zero_();
  }
  const auto before = model->encode_image(pixels).embedding;
  const auto mirrored = model->encode_image(pixels.roll(8, 3)).embedding;
  EXPECT_GT(largest_difference(before, mirrored), 1e-3);
  config.vision.rotary_grid = 0;
  auto plain = fixtures::random_model(config);
  {
    const torch::NoGradGuard no_grad;
    plain->named_parameters()["visual.positional_embedding"].zero_();
  }
  EXPECT_LT(largest_difference(plain->encode_image(pixels).embedding,
                               plain->encode_image(pixels.roll(8, 3)).embedding),
            1e-4);
  before.sum().backward();
  for (const char* name : {"visual.proj_bias", "visual.conv1.weight",
                           "visual.transformer.resblocks.0.attn.in_proj_weight"}) {
    EXPECT_TRUE(model->named_parameters()[name].grad().defined()) << name;
  }
}

// Attention does not care for the order of the patches, if each keeps its own place.
TEST(Rotary, KeptPatchesKeepTheirPlaces) {
  for (const bool class_token : {true, false}) {
    auto model = fixtures::random_model(small_pe_core(class_token));
    const auto pixels = torch::randn({2, 3, 32, 32});
    const auto order = torch::stack({torch::randperm(16), torch::randperm(16)});
    const auto found = model->encode_image(pixels, {.keep = order});
    EXPECT_LT(largest_difference(found.embedding, model->encode_image(pixels).embedding), 1e-4);
    const auto some = model->encode_image(pixels, {.keep = order.slice(1, 0, 5)});
    EXPECT_EQ(some.tokens.size(1), class_token ? 6 : 5);
    const auto more = model->encode_image(
        pixels, {.keep = order.slice(1, 0, 5), .appended = torch::randn({2, 3, 32})});
    EXPECT_EQ(more.tokens.size(1), class_token ? 9 : 8);
  }
}

TEST(Rotary, AnotherImageSizeScalesThePlaces) {
  auto model = fixtures::random_model(small_pe_core(true));
  auto larger = with_image_size(model, 48);
  EXPECT_EQ(larger->config().vision.rotary_grid, 4);
  const auto pixels = torch::randn({2, 3, 48, 48});
  EXPECT_LT(largest_difference(model->encode_image(pixels, {.any_size = true}).embedding,
                               larger->encode_image(pixels).embedding),
            1e-5);
  auto other = with_image_size(model, 48)->config();
  other.vision.rotary_grid = 6;
  Cloc unscaled(other);
  {
    const torch::NoGradGuard no_grad;
    for (auto& item : unscaled->named_parameters())
      item.value().copy_(larger->named_parameters()[item.key()]);
  }
  EXPECT_GT(largest_difference(unscaled->encode_image(pixels).embedding,
                               larger->encode_image(pixels).embedding),
            1e-4);
}

TEST(Rotary, ShortNumbersGiveNearlyTheSame) {
  auto model = fixtures::random_model(small_pe_core(true));
  const torch::NoGradGuard no_grad;
  const auto pixels = torch::randn({4, 3, 32, 32});
  const auto wanted = normalized(model->encode_image(pixels).embedding);
  model->set_precision(Precision::kBf16);
  const auto bf16 = normalized(model->encode_image(pixels).embedding.to(torch::kFloat));
  EXPECT_GT((bf16 * wanted).sum(1).min().item<double>(), 0.995);
  model->set_precision(Precision::kFp32);
  quantize_towers(model);
  const auto int8 = normalized(model->encode_image(pixels).embedding);
  EXPECT_GT((int8 * wanted).sum(1).min().item<double>(), 0.995);
  EXPECT_FALSE(torch::equal(int8, wanted));
}

TEST(Rotary, WhatDoesNotGoTogetherIsAnError) {
  const auto error_of = [](const std::function<void(VisionConfig&)>& change) {
    auto config = small_pe_core(true);
    change(config.vision);
    try {
      config.validate("here");
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), 2);
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(error_of([](auto&) {}), "");
  EXPECT_NE(error_of([](auto& v) { v.head_width = 2; }).find("rotary_grid"), std::string::npos);
  EXPECT_NE(error_of([](auto& v) { v.map_heads = 5; }).find("map_heads"), std::string::npos);
  EXPECT_NE(error_of([](auto& v) { v.map_mlp_ratio = -1; }).find("mlp_ratio"), std::string::npos);
  EXPECT_NE(error_of([](auto& v) { v.pool = ImagePool::kAverage; }).find("map_heads"),
            std::string::npos);
  EXPECT_NE(error_of([](auto& v) {
              v.width = 24;
              v.projection = false;
            }).find("proj_bias"),
            std::string::npos);
}

}  // namespace
}  // namespace opencloc

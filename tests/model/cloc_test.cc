#include "opencloc/model/cloc/cloc.h"

#include <set>

#include <gtest/gtest.h>
#include <torch/optim/adam.h>
#include <torch/utils.h>

#include "tests/model/small_model.h"

namespace opencloc {
namespace {

using fixtures::random_texts;
using fixtures::small_config;

torch::Tensor some_boxes() {
  return torch::tensor(
      {{0.1f, 0.1f, 0.5f, 0.6f}, {0.0f, 0.0f, 1.0f, 1.0f}, {0.4f, 0.2f, 0.9f, 0.45f}});
}

TEST(ClocTest, ShapesFollowTheSpec) {
  torch::manual_seed(1);
  Cloc model(small_config());
  const auto features = model->encode_image(torch::randn({2, 3, 32, 32}), {.hidden_layer = -2});
  EXPECT_EQ(features.tokens.sizes(), (std::vector<int64_t>{2, 17, 32}));
  EXPECT_EQ(features.hidden.sizes(), (std::vector<int64_t>{2, 17, 32}));
  EXPECT_EQ(features.embedding.sizes(), (std::vector<int64_t>{2, 24}));
  EXPECT_FALSE(features.tokens.equal(features.hidden));
  EXPECT_EQ(model->encode_text(random_texts(5, 12)).sizes(), (std::vector<int64_t>{5, 24}));
}

TEST(ClocTest, HiddenPatchesAreNotReadAndKeepTheirPlaces) {
  torch::manual_seed(4);
  Cloc model(small_config());
  const auto pixels = torch::randn({2, 3, 32, 32});
  EncodeOptions options;
  options.hidden = torch::zeros({2, 16}, torch::kBool);
  options.hidden_patch = torch::randn({32}).requires_grad_();
  EXPECT_TRUE(torch::equal(model->encode_image(pixels, options).tokens,
                           model->encode_image(pixels).tokens));
  options.hidden[0][0] = options.hidden[1][5] = true;  // patch 5: row 1, column 1
  const auto before = model->encode_image(pixels, options);
  EXPECT_EQ(before.tokens.sizes(), (std::vector<int64_t>{2, 17, 32}));
  auto changed = pixels.clone();
  changed[0].slice(1, 0, 8).slice(2, 0, 8) += 3;
  changed[1].slice(1, 8, 16).slice(2, 8, 16) += 3;
  EXPECT_TRUE(torch::equal(model->encode_image(changed, options).tokens, before.tokens));
  changed[1].slice(1, 16, 24) += 3;
  EXPECT_FALSE(torch::equal(model->encode_image(changed, options).tokens, before.tokens));
  before.embedding.sum().backward();
  EXPECT_GT(options.hidden_patch.grad().abs().max().item<double>(), 0);
}

TEST(ClocTest, TextsCutAfterTheLongestEndTokenGiveTheSameEmbedding) {
  torch::manual_seed(2);
  Cloc model(small_config());
  auto ids = random_texts(4, 12);
  ids.slice(1, 7).zero_();
  ids.select(1, 6).fill_(49);
  const auto padded = model->encode_text(ids),
             cut = model->encode_text(ids.slice(1, 0, 7).contiguous());
  EXPECT_LT((padded - cut).abs().max().item<float>(), 1e-5);
}

TEST(ClocTest, EosIdPoolsAtItsFirstPlace) {
  torch::manual_seed(3);
  auto config = small_config();
  config.text.eos_id = 1;
  Cloc model(config);
  const auto base = torch::tensor({{7, 9, 1, 0, 0}}, torch::kLong);
  const auto more = torch::tensor({{7, 9, 1, 1, 30}}, torch::kLong);
  const auto other = torch::tensor({{7, 8, 1, 0, 0}}, torch::kLong);
  EXPECT_TRUE(torch::allclose(model->encode_text(base), model->encode_text(more), 1e-5, 1e-6));
  EXPECT_FALSE(torch::allclose(model->encode_text(base), model->encode_text(other), 1e-3, 1e-4));
}

struct RegionCase {
  Pool pool;
  bool joint, position;
};

class PrompterTest : public ::testing::TestWithParam<RegionCase> {
 protected:
  static Cloc make_model() {
    torch::manual_seed(4);
    auto config = small_config();
    config.cloc.pool = GetParam().pool;
    config.cloc.joint_box_token = GetParam().joint;
    config.cloc.position_image_tokens = GetParam().position;
    return Cloc(config);
  }
};

TEST_P(PrompterTest, EveryPromptKindGivesOneEmbeddingARegion) {
  auto model = make_model();
  const auto index = torch::tensor({1, 0, 1}, torch::kLong);
  const auto features = model->encode_image(torch::randn({2, 3, 32, 32}));
  const auto points = torch::rand({3, 1, 2}), many = torch::rand({3, 5, 2});
  for (const auto& prompts :
       {box_prompts(some_boxes(), index), point_prompts(points, index),
        mask_prompts(some_boxes(), many, index), text_prompts(torch::randn({3, 24}), index)}) {
    EXPECT_EQ(model->encode_regions(features, prompts).sizes(), (std::vector<int64_t>{3, 24}));
  }
}

TEST_P(PrompterTest, ARegionDependsOnItsOwnImageAndBoxAlone) {
  auto model = make_model();
  const auto pixels = torch::randn({2, 3, 32, 32});
  const auto boxes = some_boxes();
  auto features = model->encode_image(pixels);
  model->prepare_prompts(features);
  const auto together =
      model->encode_regions(features, box_prompts(boxes, torch::tensor({1, 0, 1}, torch::kLong)));
  const auto alone = model->encode_image(pixels.slice(0, 1, 2));
  const auto first = model->encode_regions(
      alone, box_prompts(boxes.slice(0, 0, 1), torch::zeros({1}, torch::kLong)));
  EXPECT_LT((together[0] - first[0]).abs().max().item<float>(), 1e-5);
  EXPECT_GT((together[0] - together[2]).abs().max().item<float>(),
            1e-4);  // another box, another embedding
}

// docs/decisions/prompter_start.md: before the first step a box already reads its own place.
TEST(PrompterStart, ABoxReadsThePatchesInsideIt) {
  torch::manual_seed(6);
  auto config = small_config();
  config.vision.width = 128;
  Cloc model(config);
  const auto tokens = torch::randn({1, 17, 128});  // a class token and 4 x 4 patches
  const auto box = torch::tensor({{0.0f, 0.0f, 0.5f, 0.5f}});
  const auto read = [&](const torch::Tensor& seen) {
    ImageFeatures features;
    features.tokens = seen;
    return model->encode_regions(features, box_prompts(box, torch::zeros({1}, torch::kLong)));
  };
  const auto before = read(tokens);
  double inside = 0, outside = 0;  // how far another patch in place of this one moves the region
  for (int64_t patch = 0; patch < 16; ++patch) {
    auto other = tokens.clone();
    other.select(1, 1 + patch).normal_();
    const double moved = (read(other) - before).norm().item<double>();
    const bool in_box = patch % 4 < 2 && patch / 4 < 2;
    (in_box ? inside : outside) += moved / (in_box ? 4 : 12);
  }
  EXPECT_GT(inside, 2 * outside);
}

TEST_P(PrompterTest, NoRegionsIsAnEmptyResult) {
  auto model = make_model();
  const auto features = model->encode_image(torch::randn({2, 3, 32, 32}));
  const auto none = model->encode_regions(
      features, box_prompts(torch::empty({0, 4}), torch::empty({0}, torch::kLong)));
  EXPECT_EQ(none.sizes(), (std::vector<int64_t>{0, 24}));
}

TEST_P(PrompterTest, GradientsReachTheImageTower) {
  auto model = make_model();
  const auto features = model->encode_image(torch::randn({2, 3, 32, 32}));
  model->encode_regions(features, box_prompts(some_boxes(), torch::tensor({0, 1, 1}, torch::kLong)))
      .pow(2)
      .sum()
      .backward();
  for (const auto& parameter : model->visual->named_parameters()) {
    if (parameter.key().find("transformer.resblocks.0.attn.in_proj_weight") == std::string::npos)
      continue;
    ASSERT_TRUE(parameter.value().grad().defined());
    EXPECT_GT(parameter.value().grad().abs().sum().item<float>(), 0);
  }
}

// The grounding path as a whole can fit: without this, a fault there hides behind "hard to learn".
TEST_P(PrompterTest, GroundingOverfitsOneBatch) {
  auto model = make_model();
  torch::manual_seed(5);
  const int64_t images = 8, regions = 16;
  const auto pixels = torch::randn({images, 3, 32, 32});
  const auto ids = random_texts(regions, 12);
  const auto index = torch::arange(regions) % images;
  const auto corner = torch::rand({regions, 2}) * 0.6;
  const auto target = torch::cat({corner, corner + 0.1 + torch::rand({regions, 2}) * 0.3}, 1);
  torch::optim::Adam optimizer(model->parameters(), torch::optim::AdamOptions(2e-3));
  double iou_mean = 0;
  for (int step = 0; step < 400 && iou_mean < 0.9; ++step) {
    const auto features = model->encode_image(pixels);
    const auto boxes = model->ground(features, model->encode_text(ids), index);
    optimizer.zero_grad();
    (boxes - target).pow(2).mean().backward();
    optimizer.step();
    const auto low = torch::max(boxes, target).slice(1, 0, 2),
               high = torch::min(boxes, target).slice(1, 2, 4);
    const auto shared = (high - low).clamp_min(0).prod(1);
    const auto area = [](const torch::Tensor& b) {
      return (b.slice(1, 2, 4) - b.slice(1, 0, 2)).prod(1);
    };
    iou_mean = (shared / (area(boxes) + area(target) - shared)).mean().item<double>();
  }
  EXPECT_GT(iou_mean, 0.9);
}

INSTANTIATE_TEST_SUITE_P(Pools, PrompterTest,
                         ::testing::Values(RegionCase{Pool::kAll, false, false},
                                           RegionCase{Pool::kAll, true, true},
                                           RegionCase{Pool::kPrompt, false, false},
                                           RegionCase{Pool::kPrompt, true, true}));

TEST(ClocTest, WeightNamesAreOpenClipsAndNoneIsLost) {
  auto config = small_config();
  config.cloc.region_extractor = RegionExtractor::kRoiAlign;
  Cloc model(config);
  std::set<std::string> names;
  for (const auto& [name, tensor] : model->clip_weights()) names.insert(name);
  for (const char* name :
       {"visual.conv1.weight", "visual.class_embedding",
        "visual.transformer.resblocks.1.attn.in_proj_weight", "visual.proj",
        "transformer.resblocks.0.mlp.c_fc.bias", "token_embedding.weight", "ln_final.bias",
        "text_projection", "logit_scale", "positional_embedding"}) {
    EXPECT_TRUE(names.count(name)) << name;
  }
  for (const auto& [name, tensor] : model->region_weights()) {
    EXPECT_TRUE(names.insert(name).second) << name;
  }
  EXPECT_EQ(names.size(), model->parameters().size());
  EXPECT_TRUE(names.count("roi_extractor.proj"));
  EXPECT_TRUE(names.count("region_logit_scale"));
}

// Precision is a model's own: two of them in one program, their calls and backward passes in turn.
TEST(Precisions, TwoModelsOfOneProgramDiffer) {
  const auto make = [](Precision precision) {
    torch::manual_seed(1);
    Cloc model(load_model_config("ViT-Test"));
    model->set_precision(precision);
    return model;
  };
  const auto pixels = torch::randn({2, 3, 32, 32});
  const auto run = [&](Cloc& model) {
    const auto features = model->encode_image(pixels);
    const auto boxes = torch::tensor({{0.1f, 0.1f, 0.6f, 0.7f}});
    return model->encode_regions(features, box_prompts(boxes, torch::tensor({0}))).sum() +
           features.embedding.sum();
  };
  const auto gradient = [](Cloc& model) { return model->visual->parameters()[0].grad(); };
  std::vector<torch::Tensor> values, gradients;
  for (const auto precision : {Precision::kFp32, Precision::kBf16}) {
    auto model = make(precision);
    const auto value = run(model);
    value.backward();
    values.push_back(value.detach());
    gradients.push_back(gradient(model).clone());
  }
  EXPECT_FALSE(torch::equal(values[0], values[1]));

  auto fp32 = make(Precision::kFp32), bf16 = make(Precision::kBf16);
  const auto of_fp32 = run(fp32), of_bf16 = run(bf16);
  of_fp32.backward();
  of_bf16.backward();
  EXPECT_TRUE(torch::equal(of_fp32.detach(), values[0]));
  EXPECT_TRUE(torch::equal(of_bf16.detach(), values[1]));
  EXPECT_TRUE(torch::equal(gradient(fp32), gradients[0]));
  EXPECT_TRUE(torch::equal(gradient(bf16), gradients[1]));
}

TEST(RegionPart, APlainClipHasNone) {
  ModelConfig config = load_model_config("ViT-Test");
  config.region_part = false;
  Cloc model(config);
  EXPECT_TRUE(model->region_weights().empty());
  EXPECT_FALSE(model->prompter);
  ImageFeatures features = model->encode_image(torch::zeros({1, 3, 32, 32}));
  EXPECT_THROW(model->prepare_prompts(features), c10::Error);
}

}  // namespace
}  // namespace opencloc

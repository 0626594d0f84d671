// Towers that are not OpenAI's: other pooling, no class token, other image sizes.
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/model/clip/positions.h"
#include "opencloc/model/clip/resize.h"
#include "opencloc/model/layers/positional_encoding.h"
#include "tests/model/small_model.h"

namespace opencloc {
namespace {

torch::Tensor parameter(const Cloc& model, const std::string& name) {
  return model->named_parameters()[name];
}

// ln_post and the projection, written down again.
torch::Tensor normed(const Cloc& model, const torch::Tensor& x) {
  return torch::layer_norm(x, {x.size(-1)}, parameter(model, "visual.ln_post.weight"),
                           parameter(model, "visual.ln_post.bias"));
}

void expect_near(const torch::Tensor& a, const torch::Tensor& b) {
  ASSERT_EQ(a.sizes(), b.sizes());
  EXPECT_LT((a - b).abs().max().item<double>(), 2e-5);
}

TEST(Variants, AveragePooling) {
  const auto pixels = torch::randn({2, 3, 32, 32});
  for (const bool after : {false, true}) {
    auto config = fixtures::small_config();
    config.vision.pool = ImagePool::kAverage;
    config.vision.ln_post_after_pool = after;
    config.vision.ln_pre = false;
    auto model = fixtures::random_model(config);
    const auto features = model->encode_image(pixels);
    EXPECT_EQ(features.tokens.sizes(), (torch::IntArrayRef{2, 17, 32}));
    const auto patches = features.tokens.slice(1, 1);  // without the class token
    const auto pooled = after ? normed(model, patches.mean(1)) : normed(model, patches).mean(1);
    expect_near(features.embedding, pooled.mm(parameter(model, "visual.proj")));
  }
}

ModelConfig without_class_token() {
  auto config = fixtures::small_config();
  config.embed_dim = config.vision.width;
  config.vision.class_token = config.vision.projection = config.vision.ln_pre = false;
  config.vision.patch_bias = true;
  config.vision.pool = ImagePool::kAttention;
  config.init_logit_bias = -10;
  return config;
}

// Regions and grounding do not care whether there is a class token.
TEST(Variants, RegionsWithoutAClassToken) {
  for (const auto pool : {Pool::kPrompt, Pool::kAll}) {
    auto config = without_class_token();
    config.cloc.pool = pool;
    auto model = fixtures::random_model(config);
    const auto features = model->encode_image(torch::randn({2, 3, 32, 32}), {.hidden_layer = 0});
    EXPECT_EQ(features.tokens.sizes(), (torch::IntArrayRef{2, 16, 32}));
    EXPECT_EQ(features.hidden.sizes(), features.tokens.sizes());
    const auto boxes = torch::tensor({{0.0f, 0.0f, 0.25f, 0.25f}, {0.5f, 0.5f, 1.0f, 1.0f}});
    const auto index = torch::tensor({0, 1});
    const auto regions = model->encode_regions(features, box_prompts(boxes, index));
    EXPECT_EQ(regions.sizes(), (torch::IntArrayRef{2, 32}));
    EXPECT_EQ(model->ground(features, regions, index).sizes(), (torch::IntArrayRef{2, 4}));
    // A class token in front would be told from the patches.
    const auto with_class = torch::cat({torch::randn({2, 1, 32}), features.tokens}, 1);
    EXPECT_TRUE(torch::equal(roi_align(with_class, boxes, index),
                             roi_align(features.tokens, boxes, index)));
    EXPECT_EQ(model->roi_align_regions(features.tokens, boxes, index).sizes(), regions.sizes());
    regions.sum().backward();
    EXPECT_TRUE(parameter(model, "visual.conv1.bias").grad().defined());
  }
}

// One token is all the query can read.
TEST(Variants, ProjectPoolsOneTokenAlone) {
  auto config = without_class_token();
  config.vision.image_size = config.vision.patch_size;
  auto model = fixtures::random_model(config);
  const auto features = model->encode_image(torch::randn({3, 3, 8, 8}));
  expect_near(model->visual->project(features.tokens.select(1, 0)), features.embedding);
}

TEST(Variants, HiddenLayersAreCountedAsInTransformers) {
  auto model = fixtures::random_model(fixtures::small_config());  // 2 layers
  const auto pixels = torch::randn({1, 3, 32, 32});
  const auto hidden = [&](int64_t layer) {
    return model->encode_image(pixels, {.hidden_layer = layer}).hidden;
  };
  EXPECT_TRUE(torch::equal(hidden(-1), model->encode_image(pixels).tokens));
  EXPECT_TRUE(torch::equal(hidden(2), hidden(-1)));
  EXPECT_TRUE(torch::equal(hidden(1), hidden(-2)));
  EXPECT_TRUE(torch::equal(hidden(0), hidden(-3)));
  EXPECT_FALSE(torch::equal(hidden(0), hidden(1)));
  EXPECT_FALSE(model->encode_image(pixels).hidden.defined());
}

TEST(Variants, TextPooling) {
  for (const auto pool : {TextPool::kFirst, TextPool::kLast}) {
    auto config = fixtures::small_config();
    config.text.pool = pool;
    config.text.causal = false;
    config.text.projection_bias = true;
    EXPECT_FALSE(config.text.padding_is_ignored());
    auto model = fixtures::random_model(config);
    const auto ids = fixtures::random_texts(3, 12);
    const auto before = model->encode_text(ids);
    // Without a causal mask every place counts, whichever is pooled.
    for (const int64_t place : {0, 11}) {
      auto changed = ids.clone();
      changed.select(1, place).fill_(7);
      EXPECT_FALSE(torch::allclose(model->encode_text(changed), before, 1e-3, 1e-4)) << place;
    }
  }
}

TEST(Resize, PositionsOfTheGridAreInterpolatedAndTheClassTokensKept) {
  const auto positions = torch::randn({1 + 16, 8});
  EXPECT_TRUE(torch::equal(resize_positions(positions, 4), positions));
  const auto larger = resize_positions(positions, 7);
  EXPECT_EQ(larger.sizes(), (torch::IntArrayRef{1 + 49, 8}));
  EXPECT_TRUE(torch::equal(larger[0], positions[0]));
  EXPECT_EQ(resize_positions(torch::ones({16, 8}), 6).sizes(), (torch::IntArrayRef{36, 8}));
  expect_near(resize_positions(torch::ones({16, 8}), 6), torch::ones({36, 8}));
  // A ramp along x is one along x: rows and columns are not exchanged.
  const auto ramp = torch::arange(8, torch::kFloat).repeat({8}).unsqueeze(1);  // [64, 1]
  const auto half = resize_positions(ramp, 4).view({4, 4});
  EXPECT_NEAR(half[1][1].item<float>(), 2.5, 0.05);
  EXPECT_NEAR(half[1][2].item<float>(), 4.5, 0.05);
  EXPECT_NEAR(half[3][1].item<float>(), 2.5, 0.05);
  // Antialiasing: what alternates cell by cell is gone at half the size.
  const auto stripes = (torch::arange(64) % 2).to(torch::kFloat).unsqueeze(1);
  EXPECT_LT((resize_positions(stripes, 4) - 0.5).abs().max().item<double>(), 0.1);
}

TEST(Resize, AModelForAnotherImageSize) {
  auto model = fixtures::random_model(fixtures::small_config());
  EXPECT_EQ(with_image_size(model, 32).get(), model.get());
  auto larger = with_image_size(model, 56);
  EXPECT_EQ(larger->config().vision.grid(), 7);
  const auto features = larger->encode_image(torch::randn({1, 3, 56, 56}));
  EXPECT_EQ(features.tokens.sizes(), (torch::IntArrayRef{1, 50, 32}));
  const auto box = torch::tensor({{0.1f, 0.1f, 0.9f, 0.5f}});
  EXPECT_EQ(larger->encode_regions(features, box_prompts(box, torch::tensor({0}))).size(0), 1);
  for (const auto& item : larger->named_parameters()) {
    if (item.key() == "visual.positional_embedding") continue;
    EXPECT_TRUE(torch::equal(item.value(), parameter(model, item.key()))) << item.key();
  }
  EXPECT_THROW(with_image_size(model, 33), Error);
}

// A schedule of image sizes trains one model at two sizes.
TEST(Resize, AModelReadsPicturesOfAnySizeAsOneForThatSizeDoes) {
  for (const auto pool : {Pool::kPrompt, Pool::kAll}) {
    for (const auto extractor : {RegionExtractor::kPrompter, RegionExtractor::kRoiAlign}) {
      auto config = fixtures::small_config();
      config.cloc.pool = pool;
      config.cloc.region_extractor = extractor;
      config.cloc.several_layers = true;
      auto model = fixtures::random_model(config);
      for (const int64_t size : {16, 56, 32}) {
        auto other = with_image_size(model, size);
        const auto pixels = torch::randn({2, 3, size, size});
        const auto got = model->encode_image(pixels, {.any_size = true});
        const auto wanted = other->encode_image(pixels);
        expect_near(got.tokens, wanted.tokens);
        expect_near(got.embedding, wanted.embedding);
        const auto index = torch::tensor({0, 1});
        const auto boxes = torch::tensor({{0.1f, 0.2f, 0.4f, 0.9f}, {0.5f, 0.5f, 0.6f, 0.7f}});
        const auto texts = torch::randn({2, config.embed_dim});
        expect_near(model->encode_regions(got, box_prompts(boxes, index)),
                    other->encode_regions(wanted, box_prompts(boxes, index)));
        expect_near(model->ground(got, texts, index), other->ground(wanted, texts, index));
        if (pool == Pool::kAll) continue;
        expect_near(model->log_attention_inside(got, texts, index, boxes),
                    other->log_attention_inside(wanted, texts, index, boxes));
      }
      EXPECT_ANY_THROW(model->encode_image(torch::randn({1, 3, 16, 16})));
      EXPECT_ANY_THROW(model->encode_image(torch::randn({1, 3, 20, 20}), {.any_size = true}));
    }
  }
}

// Interpolation is linear: <gradient, change> = <upstream, what the change becomes>.
TEST(Resize, PositionsGetTheirGradientThroughTheInterpolation) {
  for (const int64_t grid : {2, 3, 7}) {
    auto positions = torch::randn({17, 8}).requires_grad_();
    const auto upstream = torch::randn({grid * grid + 1, 8});
    (resize_positions(positions, grid) * upstream).sum().backward();
    for (int i = 0; i < 5; ++i) {
      const torch::NoGradGuard no_grad;
      const auto change = torch::randn({17, 8});
      EXPECT_NEAR((positions.grad() * change).sum().item<double>(),
                  (upstream * resize_positions(change, grid)).sum().item<double>(), 1e-3);
    }
    EXPECT_TRUE(torch::equal(positions.grad()[0], upstream[0]));  // the class token's
  }
}

// Four equal tokens in place of one are the same picture: boxes, points and masks must read the
// same from it. The class token, which stays one, would be a small difference.
TEST(Resize, ThePrompterReadsTheSameAtAnotherImageSize) {
  for (const auto pool : {Pool::kPrompt, Pool::kAll}) {
    auto config = without_class_token();
    config.cloc.pool = pool;
    config.cloc.position_image_tokens = false;  // finer centres are other places
    auto model = fixtures::random_model(config);
    auto larger = with_image_size(model, 2 * config.vision.image_size);
    EXPECT_EQ(larger->config().cloc.encoding_grid, 4);
    auto back = with_image_size(larger, config.vision.image_size);
    const auto tokens = torch::randn({2, 4, 4, 32});
    const auto finer = tokens.repeat_interleave(2, 1).repeat_interleave(2, 2);
    const auto index = torch::tensor({0, 1, 1});
    const auto boxes = torch::tensor(
        {{0.1f, 0.2f, 0.4f, 0.9f}, {0.5f, 0.5f, 0.6f, 0.7f}, {0.0f, 0.0f, 1.0f, 1.0f}});
    const auto points = torch::rand({3, 5, 2});
    for (const auto& prompts :
         {box_prompts(boxes, index), point_prompts(points.slice(1, 0, 1), index),
          mask_prompts(boxes, points, index), text_prompts(torch::randn({3, 32}), index)}) {
      const auto read = [&](Cloc at, const torch::Tensor& t) {
        return at->prompter->forward(at->prompter->prepare(t.flatten(1, 2)), prompts);
      };
      const auto before = read(model, tokens);
      expect_near(read(larger, finer), before);
      EXPECT_TRUE(torch::equal(read(back, tokens), before));
    }
  }
}

// ... and one place has one encoding, on the grid of the patches too.
TEST(Resize, AFinerGridRunsThroughTheSamePlaces) {
  const auto coarse = patch_centre_encoding(5, 32, 6), fine = patch_centre_encoding(15, 32, 6);
  for (int64_t y = 0; y < 5; ++y) {  // the middle one of 3 x 3 finer patches
    for (int64_t x = 0; x < 5; ++x)
      expect_near(fine[(3 * y + 1) * 15 + 3 * x + 1], coarse[y * 5 + x]);
  }
}

}  // namespace
}  // namespace opencloc

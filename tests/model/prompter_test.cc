#include "opencloc/model/cloc/prompter.h"

#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/nn/functional/linear.h>
#include <torch/ordered_dict.h>
#include <torch/utils.h>

#include "opencloc/model/layers/positional_encoding.h"
#include "tests/model/small_model.h"

namespace opencloc {
namespace {

using fixtures::small_config;

// The Prompter's parameters by name.
class Weights {
 public:
  explicit Weights(const Prompter& prompter) : named_(prompter->named_parameters()) {}
  const torch::Tensor& operator[](const std::string& name) const { return named_[name]; }
  torch::Tensor layer_norm(const torch::Tensor& x, const std::string& name) const {
    return torch::layer_norm(x, {x.size(-1)}, named_[name + ".weight"], named_[name + ".bias"]);
  }
  torch::Tensor linear(const torch::Tensor& x, const std::string& name) const {
    return torch::nn::functional::linear(x, named_[name + ".weight"], named_[name + ".bias"]);
  }

 private:
  torch::OrderedDict<std::string, torch::Tensor> named_;
};

// A transformer layer of one head over x [B, T, D], written down.
torch::Tensor layer(const Weights& w, torch::Tensor x) {
  const auto qkv =
      torch::nn::functional::linear(w.layer_norm(x, "block.ln_1"), w["block.attn.in_proj_weight"],
                                    w["block.attn.in_proj_bias"])
          .chunk(3, -1);
  const double scale = 1.0 / std::sqrt(static_cast<double>(x.size(-1)));
  const auto shares = (torch::matmul(qkv[0], qkv[1].transpose(1, 2)) * scale).softmax(-1);
  x = x + w.linear(torch::matmul(shares, qkv[2]), "block.attn.out_proj");
  const auto hidden = torch::gelu(w.linear(w.layer_norm(x, "block.ln_2"), "block.mlp.c_fc"));
  return x + w.linear(hidden, "block.mlp.c_proj");
}

// Points on images through the whole layer, every prompt with a copy of its image's tokens.
torch::Tensor pool_all_written_down(const Prompter& prompter, const torch::Tensor& image_tokens,
                                    const PromptBatch& prompts, int64_t grid) {
  const Weights w(prompter);
  const int64_t width = image_tokens.size(2);
  const auto places =
      torch::constant_pad_nd(patch_centre_encoding(grid, width, grid), {0, 0, 1, 0});
  const auto images = (w.layer_norm(image_tokens, "ln_image") + places)
                          .index_select(0, prompts.image_index);  // [R, T, D]
  constexpr int64_t kPointType = 3;
  const auto tokens =
      sinusoidal_encoding(prompts.points, width, grid) + w["type_embedding"][kPointType];
  const auto pooled = layer(w, torch::cat({tokens, images}, 1)).mean(1);  // [R, D]
  return torch::matmul(w.layer_norm(pooled, "ln_post"), w["proj"]);
}

TEST(Prompter, PoolAllIsTheWholeLayerOverPromptAndImage) {
  torch::manual_seed(1);
  auto config = small_config();
  config.cloc.pool = Pool::kAll;
  Prompter prompter(config);
  for (auto& parameter : prompter->parameters()) {
    parameter.data().add_(torch::randn_like(parameter), 0.1);  // no bias stays 0
  }
  const auto tokens = torch::randn({3, 17, 32}).requires_grad_(true);
  const auto prompts =
      point_prompts(torch::rand({5, 1, 2}), torch::tensor({2, 0, 0, 2, 0}, torch::kInt64));
  std::vector<torch::Tensor> inputs{tokens};
  for (const auto& item : prompter->named_parameters()) {
    if (item.key() != "text_in.weight" && item.key() != "text_in.bias" &&
        !item.key().starts_with("joint_in")) {
      inputs.push_back(item.value());
    }
  }
  const auto weights = torch::randn({5, 24});
  const auto got = prompter->forward(prompter->prepare(tokens), prompts);
  const auto wanted = pool_all_written_down(prompter, tokens, prompts, 4);
  EXPECT_TRUE(torch::allclose(got, wanted, 1e-4, 1e-4)) << (got - wanted).abs().max();
  const auto gradient = torch::autograd::grad({(got * weights).sum()}, inputs);
  const auto wanted_gradient = torch::autograd::grad({(wanted * weights).sum()}, inputs);
  for (size_t i = 0; i < inputs.size(); ++i) {
    const double scale = std::max(1.0, wanted_gradient[i].abs().max().item<double>());
    EXPECT_LT((gradient[i] - wanted_gradient[i]).abs().max().item<double>(), 2e-4 * scale)
        << "input " << i;
  }
}

// Without gradients many prompts go through the layer in parts.
TEST(Prompter, PoolAllInPartsIsPoolAllAtOnce) {
  torch::manual_seed(2);
  auto config = small_config();
  config.cloc.pool = Pool::kAll;
  Prompter prompter(config);
  for (const int64_t images : {1, 2}) {
    const auto tokens = torch::randn({images, 17, 32});
    const auto prompts =
        point_prompts(torch::rand({2100, 1, 2}), torch::randint(images, {2100}, torch::kInt64));
    const auto at_once = prompter->forward(prompter->prepare(tokens), prompts);
    const torch::NoGradGuard no_grad;
    const auto in_parts = prompter->forward(prompter->prepare(tokens), prompts);
    EXPECT_TRUE(torch::allclose(in_parts, at_once, 1e-5, 1e-5)) << (in_parts - at_once).abs().max();
  }
}

// The mean over a fine grid of the box's places.
TEST(PositionalEncoding, IntegratedIsTheMeanOverTheBox) {
  constexpr int64_t kWidth = 64, kGrid = 14, kFine = 200;
  const auto boxes = torch::tensor({{0.1, 0.2, 0.8, 0.5}, {0.45, 0.4, 0.55, 0.9}}, torch::kDouble);
  const auto got = integrated_encoding(boxes, kWidth, kGrid);
  const auto steps = (torch::arange(kFine, torch::kDouble) + 0.5) / kFine;
  for (int64_t i = 0; i < boxes.size(0); ++i) {
    const auto first = boxes[i].slice(0, 0, 2), side = boxes[i].slice(0, 2, 4) - first;
    const auto points = first + side * torch::stack({steps, steps}, 1);  // x and y are apart
    const auto mean = sinusoidal_encoding(points, kWidth, kGrid).mean(0);
    EXPECT_TRUE(torch::allclose(got[i], mean, 1e-4, 1e-4)) << (got[i] - mean).abs().max();
  }
  // A box without extent is its centre.
  const auto point = torch::tensor({{0.3, 0.6, 0.3, 0.6}});
  EXPECT_TRUE(torch::allclose(integrated_encoding(point, kWidth, kGrid),
                              sinusoidal_encoding(point.slice(1, 0, 2), kWidth, kGrid), 1e-6,
                              1e-6));
}

// How the third token of a box reads an image of random content at the start.
struct Window {
  double effective = 0;  // tokens: the exponential of the entropy of its attention
  double read = 0;       // share of the box's patches that get a quarter of a fair share or more
  double inside = 0;     // attention within the box
};
Window window_of(BoxEncoding encoding, double side, int64_t seeds) {
  constexpr int64_t kGrid = 14, kWidth = 128, kTokens = kGrid * kGrid;
  Window mean;
  for (int64_t seed = 0; seed < seeds; ++seed) {
    torch::manual_seed(seed);
    auto config = small_config();
    config.vision.width = kWidth;
    config.vision.image_size = kGrid * config.vision.patch_size;
    config.vision.class_token = false;
    config.vision.pool = ImagePool::kAverage;
    config.cloc.box_encoding = encoding;
    Prompter prompter(config);
    const torch::NoGradGuard no_grad;
    const Weights w(prompter);
    const double begin = 0.15;
    const auto box = torch::tensor({{begin, begin, begin + side, begin + side}}, torch::kFloat);
    const auto corners = sinusoidal_encoding(box.view({1, 2, 2}), kWidth, kGrid);
    auto token = encoding == BoxEncoding::kIntegrated
                     ? integrated_encoding(box, kWidth, kGrid)
                     : sinusoidal_encoding(box.view({1, 2, 2}).mean(1), kWidth, kGrid) +
                           w.linear(corners.flatten(1), "joint_in");
    token = token + w["type_embedding"][2];
    const auto queries = torch::nn::functional::linear(
        w.layer_norm(token, "block.ln_1"), w["block.attn.in_proj_weight"].slice(0, 0, kWidth),
        w["block.attn.in_proj_bias"].slice(0, 0, kWidth));
    const auto keys =
        prompter->prepare(torch::randn({1, kTokens, kWidth})).keys_values[0].slice(1, 0, kWidth);
    const auto shares = (queries.matmul(keys.t()) / std::sqrt(double{kWidth})).softmax(-1)[0];
    const auto centres = (torch::arange(kGrid, torch::kFloat) + 0.5) / kGrid;
    const auto within = centres.ge(begin).logical_and(centres.lt(begin + side));  // [grid]
    const auto in_box =
        within.unsqueeze(1).logical_and(within.unsqueeze(0)).flatten().to(torch::kFloat);  // [N]
    const double patches = in_box.sum().item<double>(), n = static_cast<double>(seeds);
    mean.effective += (-(shares * (shares + 1e-12).log()).sum()).exp().item<double>() / n;
    mean.read +=
        (shares.ge(0.25 / patches).to(torch::kFloat) * in_box).sum().item<double>() / patches / n;
    mean.inside += (shares * in_box).sum().item<double>() / n;
  }
  return mean;
}

TEST(Prompter, TheWindowOfAnIntegratedBoxGrowsWithTheBox) {
  constexpr int64_t kSeeds = 4;
  Window centre[2], integrated[2];
  for (int64_t i = 0; i < 2; ++i) {
    const double side = i == 0 ? 0.33 : 0.7;
    centre[i] = window_of(BoxEncoding::kCentre, side, kSeeds);
    integrated[i] = window_of(BoxEncoding::kIntegrated, side, kSeeds);
    for (const auto& [name, window] :
         {std::pair{"centre", centre[i]}, {"integrated", integrated[i]}})
      std::printf("%s, side %.2f: %.1f effective tokens, %.2f of the box read, %.2f inside\n", name,
                  side, window.effective, window.read, window.inside);
    EXPECT_GT(integrated[i].read, 0.6);
    EXPECT_GT(integrated[i].read, centre[i].read + 0.15);
    EXPECT_GT(integrated[i].inside, 0.7);
  }
  EXPECT_GT(integrated[1].effective, 2 * integrated[0].effective);
  for (const Window& window : centre) EXPECT_LT(window.read, 0.5);
  EXPECT_GT(integrated[1].effective, 2 * centre[1].effective);
}

// One text on one picture: the softmax of its query with all keys, summed over the patches of the
// box, each by the share that the box covers.
TEST(Prompter, AttentionInsideABoxIsTheFormula) {
  torch::manual_seed(6);
  const auto config = small_config();  // 4 x 4 patches and a class token
  Cloc model(config);
  const auto features =
      model->encode_image(torch::randn({2, 3, config.vision.image_size, config.vision.image_size}));
  const auto text = torch::randn({3, config.embed_dim}).requires_grad_();
  const auto index = torch::tensor({1, 0, 1}, torch::kInt64);
  // Two whole patches; half of four; a small part of one.
  const auto boxes = torch::tensor(
      {{0.25, 0.5, 0.75, 0.75}, {0.0, 0.125, 1.0, 0.25}, {0.3, 0.3, 0.35, 0.35}}, torch::kFloat);
  const auto got = model->log_attention_inside(features, text, index, boxes);
  const std::vector<std::vector<int64_t>> patches = {{9, 10}, {0, 1, 2, 3}, {5}};
  const Weights w(model->prompter);
  const auto keys =
      model->prompter->prepare(features.tokens).keys_values.slice(2, 0, config.vision.width);
  for (int64_t r = 0; r < 3; ++r) {
    const auto unit = text[r] / text[r].norm() * std::sqrt(static_cast<double>(config.embed_dim));
    const auto token = w.linear(unit.unsqueeze(0), "text_in") + w["type_embedding"][8];
    const int64_t width = config.vision.width;
    const auto query = torch::nn::functional::linear(
        w.layer_norm(token, "block.ln_1"), w["block.attn.in_proj_weight"].slice(0, 0, width),
        w["block.attn.in_proj_bias"].slice(0, 0, width));
    const auto shares =
        (query.matmul(keys[index[r].item<int64_t>()].t()) / std::sqrt(static_cast<double>(width)))
            .softmax(-1)[0];  // class token first
    auto mass = torch::zeros({});
    for (const int64_t patch : patches[static_cast<size_t>(r)]) mass = mass + shares[1 + patch];
    EXPECT_NEAR(got[r].item<float>(), mass.log().item<float>(), 1e-5) << r;
    const auto gradient = torch::autograd::grad({got[r].sum()}, {text}, {}, true)[0];
    const auto wanted = torch::autograd::grad({mass.log()}, {text}, {}, true)[0];
    EXPECT_TRUE(torch::allclose(gradient, wanted, 1e-4, 1e-5)) << r;
  }
}

// The gradient of box and point prompts with a sum of layers, against the sum written down.
TEST(Prompter, SeveralLayersAreASumOfTheirNorms) {
  torch::manual_seed(4);
  auto config = small_config();
  config.cloc.several_layers = true;
  Cloc model(config);
  for (auto& parameter : model->parameters())
    parameter.data().add_(torch::randn_like(parameter), 0.05);
  const auto pixels = torch::randn({2, 3, config.vision.image_size, config.vision.image_size});
  const auto features = model->encode_image(pixels);
  const Weights w(model->prompter);
  auto wanted = torch::zeros_like(features.tokens);
  const auto after = config.vision.several_layers();
  EXPECT_EQ(after[0], config.vision.layers);
  EXPECT_EQ(after[1], config.vision.layers - 1);
  for (size_t i = 0; i < after.size(); ++i) {
    const auto layer = model->encode_image(pixels, {.hidden_layer = after[i]}).hidden;
    wanted = wanted + w.layer_norm(layer, "ln_layer_" + std::to_string(i));
  }
  EXPECT_TRUE(torch::allclose(features.for_regions(), wanted, 1e-5, 1e-5));
  EXPECT_FALSE(torch::allclose(features.for_regions(), features.tokens, 1e-2, 1e-2));
  const auto prompts = box_prompts(torch::tensor({{0.1, 0.2, 0.7, 0.6}, {0.3, 0.3, 0.9, 0.9}}),
                                   torch::tensor({0, 1}, torch::kInt64));
  std::vector<torch::Tensor> inputs;
  for (const auto& item : model->named_parameters()) {
    if (item.key().starts_with("visual.transformer") || item.key().starts_with("prompter.ln_layer"))
      inputs.push_back(item.value());
  }
  const auto weights = torch::randn({2, config.embed_dim});
  const auto got = model->encode_regions(features, prompts);
  const auto by_hand = model->prompter->forward(model->prompter->prepare(wanted), prompts);
  EXPECT_TRUE(torch::allclose(got, by_hand, 1e-5, 1e-5));
  const auto gradient = torch::autograd::grad({(got * weights).sum()}, inputs, {}, true, false);
  const auto wanted_gradient = torch::autograd::grad({(by_hand * weights).sum()}, inputs);
  for (size_t i = 0; i < inputs.size(); ++i) {
    const double scale = std::max(1e-3, wanted_gradient[i].abs().max().item<double>());
    EXPECT_LT((gradient[i] - wanted_gradient[i]).abs().max().item<double>(), 1e-4 * scale) << i;
  }
  // Passes over a part of a picture's patches have nothing to sum.
  EXPECT_FALSE(model->encode_image(pixels, {.keep = torch::zeros({2, 3}, torch::kInt64)})
                   .of_layers.defined());
}

}  // namespace
}  // namespace opencloc

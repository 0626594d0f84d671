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

}  // namespace
}  // namespace opencloc

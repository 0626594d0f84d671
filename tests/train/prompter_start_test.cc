#include "opencloc/train/prompter_start.h"

#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/model/clip/preprocess.h"
#include "tests/train/tiny_run.h"

namespace opencloc {
namespace {

// A tower whose last block leaves two channels far above the rest, as published ones do.
Cloc with_outliers(Pool pool) {
  auto config = load_model_config("ViT-Test");
  config.cloc.pool = pool;
  torch::manual_seed(3);
  Cloc model(config);
  const torch::NoGradGuard no_grad;
  const auto last = std::to_string(config.vision.layers - 1);
  auto bias =
      model->visual->named_parameters()["transformer.resblocks." + last + ".mlp.c_proj.bias"];
  bias[1] += 60;
  bias[5] -= 45;
  return model;
}

// The patches of all squares, [n, D].
torch::Tensor patches_of(Cloc& model, uint64_t count) {
  std::vector<torch::Tensor> pixels;
  for (uint64_t i = 0; i < count; ++i) {
    const auto record = fixtures::squares(i);
    pixels.push_back(preprocess(Image::decode(record.image, record.key), model->config()).pixels);
  }
  return patch_tokens(model->encode_image(torch::stack(pixels)).tokens).flatten(0, 1);
}

TEST(PrompterStart, KeysAndValuesBeginFromChannelsOfOneSize) {
  const torch::NoGradGuard no_grad;
  fixtures::TempFolder folder;
  fixtures::write_squares(folder / "a.tar", 30);
  SkipCounter skips(0);
  const SampleStore store((folder / "a.tar").string(), skips);
  for (const auto pool : {Pool::kPrompt, Pool::kAll}) {
    auto model = with_outliers(pool);
    const auto tokens = patches_of(model, 30);
    const int64_t width = tokens.size(1);
    const auto parameters = model->prompter->named_parameters();
    const auto content = [&] {
      return torch::layer_norm(tokens, {width}, parameters["ln_image.weight"],
                               parameters["ln_image.bias"]);
    };
    const auto values = [&] {
      return torch::mm(tokens, parameters["block.attn.in_proj_weight"].slice(0, 2 * width).t()) +
             parameters["block.attn.in_proj_bias"].slice(0, 2 * width);
    };
    EXPECT_LT(content().std(0).median().item<float>(), 0.5) << "the outliers hide the others";
    EXPECT_GT(values().mean(0).abs().max().item<float>(), 5);
    start_from_tokens(model, store, 1);
    EXPECT_NEAR(content().std(0).min().item<float>(), 1, 0.25);
    EXPECT_NEAR(content().std(0).max().item<float>(), 1, 0.25);
    EXPECT_LT(content().mean(0).abs().max().item<float>(), 0.3);
    if (pool == Pool::kAll) continue;  // its values are the normed tokens'
    EXPECT_NEAR(values().var(0).mean().item<float>(), 1, 0.25);
    EXPECT_LT(values().mean(0).abs().max().item<float>(), 0.6);
    auto again = with_outliers(pool);
    start_from_tokens(again, store, 1);
    for (const auto& item : again->named_parameters())
      EXPECT_TRUE(torch::equal(item.value(), model->named_parameters()[item.key()])) << item.key();
  }
}

TEST(PrompterStart, StaysAsItIsWherePicturesCannotBeRead) {
  fixtures::TempFolder folder;
  auto record = fixtures::squares(1);
  record.image = "no picture";
  ShardWriter writer(folder / "a.tar");
  writer.write(record);
  writer.commit();
  SkipCounter skips(0);
  const SampleStore store((folder / "a.tar").string(), skips);
  auto model = with_outliers(Pool::kPrompt), before = with_outliers(Pool::kPrompt);
  start_from_tokens(model, store, 1);
  for (const auto& item : before->named_parameters())
    EXPECT_TRUE(torch::equal(item.value(), model->named_parameters()[item.key()])) << item.key();
}

}  // namespace
}  // namespace opencloc

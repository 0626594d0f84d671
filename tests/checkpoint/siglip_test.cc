// SigLIP in transformers' layout: the same numbers and gradients as the towers stated again in
// PyTorch (siglip_reference.py), and a round trip. Skipped, visibly, where python3-torch is absent.
#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/checkpoint/layout/siglip_layout.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/loss/loss.h"
#include "tests/base/temp_folder.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::TestFolder;

// As transformers writes a SigLIP's config.json, but small.
const char* const kConfig = R"({
  "architectures": ["SiglipModel"], "model_type": "siglip", "initializer_factor": 1.0,
  "vision_config": {"model_type": "siglip_vision_model", "hidden_size": 32, "image_size": 32,
    "intermediate_size": 72, "num_attention_heads": 4, "num_hidden_layers": 3, "patch_size": 8,
    "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6},
  "text_config": {"model_type": "siglip_text_model", "hidden_size": 32, "intermediate_size": 80,
    "num_attention_heads": 2, "num_hidden_layers": 2, "vocab_size": 40, "layer_norm_eps": 1e-6,
    "max_position_embeddings": 10, "hidden_act": "gelu_pytorch_tanh"}
})";

ModelConfig small_siglip() {
  return siglip_layout::model_config(parse_json(kConfig, "config.json"), "config.json");
}

// Every parameter random, so that no bias, norm or position can be forgotten unnoticed.
Cloc random_model(const ModelConfig& config) {
  torch::manual_seed(3);
  Cloc model(config);
  const torch::NoGradGuard no_grad;
  for (auto& [name, parameter] : model->clip_weights()) {
    if (name == "logit_scale" || name == "logit_bias") continue;
    parameter.copy_(torch::randn_like(parameter) * (name.ends_with("weight") ? 0.3 : 0.2) +
                    (name.find("ln_") != std::string::npos && name.ends_with("weight") ? 1 : 0));
  }
  model->logit_scale.fill_(1.5);
  model->logit_bias.fill_(-2.5);
  return model;
}

class Siglip : public ::testing::Test {
 protected:
  void save(const Cloc& model, Layout layout, const char* name) {
    SaveOptions options;
    options.region_heads = false;
    options.layout = layout;
    save_model(folder_ / name, model, options);
  }
  TestFolder folder_;
};

TEST_F(Siglip, ForwardAndGradientsEqualPyTorchs) {
  if (std::system("/usr/bin/python3 -c 'import torch' 2>/dev/null") != 0)
    GTEST_SKIP() << "python3-torch is not installed";
  auto model = random_model(small_siglip());
  save(model, Layout::kHuggingFace, "model");
  const auto pixels = torch::randn({5, 3, 32, 32});
  const auto ids = torch::randint(0, 40, {5, 10}, torch::kInt64);
  const auto features = model->encode_image(pixels, {.hidden_layer = -2});
  const auto text = model->encode_text(ids);
  const auto loss = sigmoid_loss(normalized(features.embedding), normalized(text),
                                 model->logit_scale, model->logit_bias);
  loss.backward();
  NamedTensors gradients, outputs = {{"pixel_values", pixels},
                                     {"input_ids", ids},
                                     {"image_embeds", features.embedding},
                                     {"text_embeds", text},
                                     {"hidden", features.hidden},
                                     {"loss", loss}};
  for (const auto& [name, parameter] : model->clip_weights()) {
    ASSERT_TRUE(parameter.grad().defined()) << name;
    gradients.emplace_back(name, parameter.grad());
  }
  for (const auto& [name, gradient] : siglip_layout::stored(gradients))
    outputs.emplace_back("grad." + name, gradient);
  write_safetensors(folder_ / "model" / "outputs.safetensors", outputs);
  const std::string command = std::string("/usr/bin/python3 " OPENCLOC_SOURCE_DIR
                                          "/tests/checkpoint/siglip_reference.py ") +
                              (folder_ / "model").string();
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
}

TEST_F(Siglip, EitherLayoutGivesTheSameModel) {
  auto model = random_model(small_siglip());
  const auto pixels = torch::randn({2, 3, 32, 32});
  const auto ids = torch::randint(0, 40, {3, 10}, torch::kInt64);
  save(model, Layout::kHuggingFace, "hf");
  save(model, Layout::kOpenClip, "native");
  const SafetensorsFile file(folder_ / "hf" / "model.safetensors");
  EXPECT_EQ(file.tensor("logit_bias").sizes(), torch::IntArrayRef{1});
  EXPECT_EQ(file.tensor("vision_model.head.probe").sizes(), (torch::IntArrayRef{1, 1, 32}));
  EXPECT_EQ(file.tensor("text_model.head.weight").sizes(), (torch::IntArrayRef{32, 32}));
  for (const char* name : {"hf", "native"}) {
    const auto loaded = load_model(folder_ / name);
    EXPECT_EQ(loaded.layout == Layout::kHuggingFace, std::string(name) == "hf");
    const auto before = model->clip_weights(), after = loaded.model->clip_weights();
    ASSERT_EQ(before.size(), after.size());
    for (size_t i = 0; i < before.size(); ++i)
      EXPECT_TRUE(torch::equal(before[i].second, after[i].second)) << before[i].first;
    auto again = loaded.model;
    EXPECT_TRUE(
        torch::equal(again->encode_image(pixels).embedding, model->encode_image(pixels).embedding));
    EXPECT_TRUE(torch::equal(again->encode_text(ids), model->encode_text(ids)));
    EXPECT_EQ(again->config().preprocess.resize_mode, CanvasRule::kSquash);
    EXPECT_EQ(again->config().preprocess.mean[1], 0.5f);
    EXPECT_FALSE(again->config().text.padding_is_ignored());
  }
  EXPECT_EQ(siglip_layout::config_json(load_model(folder_ / "hf").model->config()),
            siglip_layout::config_json(small_siglip()));
}

// google/siglip-base-patch16-224 and siglip2-base-patch16-224 leave out what is a default.
TEST_F(Siglip, MissingKeysHaveTransformersDefaults) {
  const auto config = siglip_layout::model_config(
      parse_json(R"({"model_type": "siglip", "text_config": {"vocab_size": 256000},
                     "vision_config": {"model_type": "siglip_vision_model"}})",
                 "x"),
      "x");
  EXPECT_EQ(config.vision.image_size, 224);
  EXPECT_EQ(config.vision.patches(), 196);
  EXPECT_EQ(config.vision.heads(), 12);
  EXPECT_EQ(config.text.context_length, 64);
  EXPECT_EQ(config.text.vocab_size, 256000);
  EXPECT_EQ(config.embed_dim, 768);
  EXPECT_TRUE(siglip_layout::fits(config));
  EXPECT_FALSE(open_clip_knows(config));
}

TEST_F(Siglip, WhatIsNoSiglipIsRefused) {
  for (const auto& [pointer, value] :
       std::vector<std::pair<const char*, Json>>{{"/vision_config/vision_use_head", false},
                                                 {"/vision_config/hidden_act", "relu"},
                                                 {"/vision_config/num_channels", 1},
                                                 {"/vision_config/num_attention_heads", 5},
                                                 {"/text_config/projection_size", 31},
                                                 {"/text_config", 3}}) {
    Json json = parse_json(kConfig, "x");
    json[Json::json_pointer(pointer)] = value;
    EXPECT_THROW(siglip_layout::model_config(json, "x"), Error) << pointer;
  }
  // And transformers' CLIPModel is none for other architectures.
  auto config = load_model_config("ViT-Test");
  config.vision.pool = ImagePool::kAverage;
  EXPECT_THROW(save(Cloc(config), Layout::kHuggingFace, "avg"), Error);
}

TEST_F(Siglip, CustomTextHasAPrefix) {
  auto config = load_model_config("ViT-Test");
  config.custom_text = true;
  Cloc model(config);
  save(model, Layout::kOpenClip, "custom");
  const SafetensorsFile file(folder_ / "custom" / "open_clip_model.safetensors");
  EXPECT_NE(file.find("text.token_embedding.weight"), nullptr);
  EXPECT_NE(file.find("text.transformer.resblocks.0.ln_1.weight"), nullptr);
  EXPECT_EQ(file.find("token_embedding.weight"), nullptr);
  EXPECT_NE(file.find("visual.proj"), nullptr);
  const auto loaded = load_model(folder_ / "custom");
  EXPECT_TRUE(loaded.model->config().custom_text);
  EXPECT_TRUE(torch::equal(loaded.model->text->parameters()[0], model->text->parameters()[0]));
}

}  // namespace
}  // namespace opencloc

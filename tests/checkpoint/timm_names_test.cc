// Towers of timm's as open_clip stores them: their names, both ways, and what is refused. That the
// numbers are open_clip's is checked by tests/tools/drop_in/in_timm.py.
#include "opencloc/checkpoint/layout/timm_names.h"

#include <gmock/gmock.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/model/config/timm_towers.h"
#include "opencloc/model/quantized.h"
#include "tests/base/temp_folder.h"
#include "tests/checkpoint/rewrite.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

using fixtures::TestFolder;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kPeWeights = "open_clip_model.safetensors";
constexpr const char* kPeConfig = "open_clip_config.json";

// The smallest of them, with a text tower of a test.
ModelConfig tiny_pe_core() {
  auto config = load_model_config("PE-Core-T-16-384");
  config.embed_dim = 24;
  config.text = {.context_length = 8, .vocab_size = 50, .width = 16, .heads = 2, .layers = 1};
  return config;
}

Cloc moved_model(const ModelConfig& config) {
  torch::manual_seed(8);
  Cloc model(config);
  const torch::NoGradGuard no_grad;
  for (auto& [name, parameter] : model->clip_weights())
    if (parameter.dim() > 0) parameter.add_(0.1 * torch::randn_like(parameter));
  return model;
}

class PeCore : public ::testing::Test {
 protected:
  void save(const Cloc& model, Layout layout = Layout::kOpenClip) {
    SaveOptions options;
    options.region_heads = false;
    options.layout = layout;
    save_model(folder_ / "model", model, options);
  }
  // What loading says after a change of the vision_cfg.
  std::string error_after(const std::function<void(Json&)>& change) {
    const auto path = folder_ / "model" / kPeConfig;
    Json json = read_json(path);
    const std::string before = dump_json(json);
    change(json["model_cfg"]["vision_cfg"]);
    write_file(path, dump_json(json));
    const auto text = fixtures::error_of([&] { load_model(folder_ / "model"); });
    write_file(path, before);
    return text;
  }
  TestFolder folder_;
};

TEST_F(PeCore, IsWrittenUnderTimmsNamesAndReadBack) {
  auto model = moved_model(tiny_pe_core());
  save(model);
  {
    const SafetensorsFile file(folder_ / "model" / kPeWeights);
    const std::string trunk = "visual.trunk.";
    EXPECT_EQ(file.tensor(trunk + "cls_token").sizes(), (torch::IntArrayRef{1, 1, 192}));
    EXPECT_EQ(file.tensor(trunk + "pos_embed").sizes(), (torch::IntArrayRef{1, 577, 192}));
    EXPECT_EQ(file.tensor(trunk + "attn_pool.q.weight").sizes(), (torch::IntArrayRef{192, 192}));
    EXPECT_EQ(file.tensor(trunk + "attn_pool.kv.bias").sizes(), (torch::IntArrayRef{384}));
    EXPECT_EQ(file.tensor(trunk + "head.weight").sizes(), (torch::IntArrayRef{24, 192}));
    EXPECT_EQ(file.tensor(trunk + "head.bias").sizes(), (torch::IntArrayRef{24}));
    EXPECT_NE(file.find(trunk + "blocks.11.attn.qkv.weight"), nullptr);
    EXPECT_NE(file.find("text.token_embedding.weight"), nullptr);
    // The key's rows follow the query's.
    const auto names = model->named_parameters();
    EXPECT_TRUE(torch::equal(file.tensor(trunk + "attn_pool.kv.weight")[0],
                             names["visual.attn_pool.attn.in_proj_weight"][192]));
  }
  const Json vision = read_json(folder_ / "model" / kPeConfig)["model_cfg"]["vision_cfg"];
  EXPECT_EQ(vision["timm_model_name"], "vit_pe_core_tiny_patch16_384");
  EXPECT_TRUE(vision.contains("timm_proj") && vision["timm_proj"].is_null());
  const auto loaded = load_model(folder_ / "model");
  EXPECT_TRUE(loaded.model->config().vision == model->config().vision);
  const auto before = model->clip_weights(), after = loaded.model->clip_weights();
  ASSERT_EQ(before.size(), after.size());
  for (size_t i = 0; i < before.size(); ++i)
    EXPECT_TRUE(torch::equal(before[i].second, after[i].second)) << before[i].first;
}

TEST_F(PeCore, EightBitWeightsLieUnderOurNames) {
  auto model = moved_model(tiny_pe_core());
  quantize_towers(model);
  save_model(folder_ / "model", model, {});
  const SafetensorsFile file(folder_ / "model" / kPeWeights);
  EXPECT_NE(file.find("visual.transformer.resblocks.0.attn.in_proj_weight_scale"), nullptr);
  EXPECT_EQ(file.find(timm_names::kAnchor), nullptr);
  auto loaded = load_model(folder_ / "model");
  EXPECT_TRUE(is_quantized(loaded.model));
  const torch::NoGradGuard no_grad;
  const auto pixels = torch::randn({1, 3, 384, 384});
  EXPECT_TRUE(torch::equal(loaded.model->encode_image(pixels).embedding,
                           model->encode_image(pixels).embedding));
}

TEST_F(PeCore, WeightsThatDoNotFitAreNamed) {
  save(moved_model(tiny_pe_core()));
  const auto error_with = [&](const char* name, const torch::Tensor& value) {
    torch::Tensor before;
    const auto put = [&](const torch::Tensor& tensor) {
      fixtures::rewrite(folder_ / "model" / kPeWeights, [&](NamedTensors& tensors) {
        for (auto& [key, found] : tensors) {
          if (key != name) continue;
          before = found;
          found = tensor;
        }
      });
    };
    put(value);
    const auto text = fixtures::error_of([&] { load_model(folder_ / "model"); });
    put(torch::Tensor(before));
    return text;
  };
  EXPECT_THAT(error_with("visual.trunk.attn_pool.kv.weight", torch::zeros({192, 192})),
              HasSubstr("visual.trunk.attn_pool.kv.weight [192, 192]"));
  EXPECT_THAT(error_with("visual.trunk.pos_embed", torch::zeros({2, 577, 192})),
              HasSubstr("visual.trunk.pos_embed [2, 577, 192]"));
  EXPECT_THAT(error_with("visual.trunk.head.weight", torch::zeros({192, 24})),
              HasSubstr("visual.trunk.head.weight"));
}

TEST_F(PeCore, AnotherTowerOfTimmIsRefused) {
  save(moved_model(tiny_pe_core()));
  EXPECT_THAT(error_after([](Json& v) { v["timm_model_name"] = "vit_pe_core_huge"; }),
              HasSubstr("vit_pe_core_base_patch16_224"));
  EXPECT_THAT(error_after([](Json& v) { v["image_size"] = 224; }), HasSubstr("384"));
  EXPECT_THAT(error_after([](Json& v) { v["timm_pool"] = "avg"; }), HasSubstr("timm_pool"));
  EXPECT_THAT(error_after([](Json& v) { v["timm_proj"] = "mlp"; }), HasSubstr("timm_proj"));
  EXPECT_THAT(error_after([](Json& v) { v.erase("timm_proj"); }), HasSubstr("\"linear\""));
  EXPECT_THAT(error_after([](Json& v) { v["width"] = 192; }), HasSubstr("'width'"));
  EXPECT_THAT(error_after([](Json& v) { v.erase("image_size"); }), Not(HasSubstr("image_size")));
}

TEST_F(PeCore, OtherLayoutsRefuseIt) {
  const auto model = moved_model(tiny_pe_core());
  for (const auto layout : {Layout::kHuggingFace, Layout::kOpenAi, Layout::kGguf, Layout::kOnnx}) {
    EXPECT_THAT(fixtures::error_of([&] { save(model, layout); }), HasSubstr("open_clip"))
        << to_string(layout);
  }
}

TEST(TimmTowers, NamesAndTowersBelongTogether) {
  for (const char* name : {"T-16-384", "S-16-384", "B-16", "L-14-336", "bigG-14-448"}) {
    const auto config = load_model_config(std::string("PE-Core-") + name);
    const TimmTower* tower = timm_tower(config.vision);
    ASSERT_NE(tower, nullptr) << name;
    EXPECT_EQ(timm_tower(tower->name), tower) << name;
    EXPECT_EQ(open_clip_config_json(config)["model_cfg"]["vision_cfg"]["timm_model_name"],
              tower->name);
    EXPECT_TRUE(config.custom_text && !is_openai_clip(config)) << name;
  }
  auto resized = load_model_config("PE-Core-B-16");
  resized.vision.image_size = 448;
  EXPECT_EQ(timm_tower(resized.vision), nullptr);
  const auto again = model_config_from_json(open_clip_config_json(resized), "again");
  EXPECT_TRUE(again.vision == resized.vision);
  EXPECT_EQ(again.vision.rotary_grid, 14);
  const auto largest = load_model_config("PE-Core-bigG-14-448").vision;
  EXPECT_EQ(largest.head_width, 96);
  EXPECT_EQ(largest.map_mlp_ratio, 4);
  EXPECT_FALSE(largest.class_token);
  EXPECT_EQ(timm_tower(std::string("resnet50")), nullptr);
}

}  // namespace
}  // namespace opencloc

#include "opencloc/checkpoint/model_directory.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/json.h"
#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/checkpoint/layout/hf_config.h"
#include "opencloc/model/clip/resize.h"
#include "opencloc/text/sentence_piece.h"
#include "tests/checkpoint/rewrite.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class ModelDirectory : public ::testing::Test {
 protected:
  void SetUp() override {
    torch::manual_seed(1);
    folder_ =
        fs::path(::testing::TempDir()) / ("opencloc_model_" + std::to_string(::getpid())) / "model";
  }
  void TearDown() override { fs::remove_all(folder_.parent_path()); }

  static Cloc tiny(const std::function<void(ModelConfig&)>& change = [](ModelConfig&) {}) {
    auto config = load_model_config("ViT-Test");
    change(config);
    return Cloc(config);
  }
  std::string error_of_loading() const {
    try {
      load_model(folder_);
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), 2);
      return error.what();
    }
    return "no error";
  }
  static torch::Tensor& named(NamedTensors& tensors, const std::string& name) {
    for (auto& [key, tensor] : tensors) {
      if (key == name) return tensor;
    }
    throw std::runtime_error("no " + name);
  }
  fs::path folder_;
};

void expect_same_weights(const NamedTensors& a, const NamedTensors& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].first, b[i].first);
    EXPECT_TRUE(torch::equal(a[i].second, b[i].second)) << a[i].first;
  }
}

TEST_F(ModelDirectory, RoundTripThroughEveryLayoutIsBitIdentical) {
  for (const Layout layout : {Layout::kOpenClip, Layout::kHuggingFace}) {
    for (const auto extractor : {RegionExtractor::kPrompter, RegionExtractor::kRoiAlign}) {
      auto model = tiny([&](ModelConfig& config) {
        config.cloc.region_extractor = extractor;
        config.cloc.pool = Pool::kAll;
        config.text.eos_id = 1;
        config.quick_gelu = true;
        config.preprocess.fill_color = 128;
      });
      SaveOptions options;
      options.layout = layout;
      options.about = {{"steps", 7}, {"data", "scenes"}};
      save_model(folder_, model, options);
      auto loaded = load_model(folder_);
      EXPECT_EQ(loaded.layout, layout);
      EXPECT_TRUE(loaded.has_region_heads);
      EXPECT_EQ(loaded.about, options.about);
      EXPECT_EQ(loaded.tokenizer, nullptr);
      EXPECT_EQ(loaded.model->config().name, "ViT-Test");
      EXPECT_EQ(open_clip_config_json(loaded.model->config()),
                open_clip_config_json(model->config()));
      EXPECT_EQ(cloc_config_json(loaded.model->config().cloc),
                cloc_config_json(model->config().cloc));
      expect_same_weights(loaded.model->clip_weights(), model->clip_weights());
      expect_same_weights(loaded.model->region_weights(), model->region_weights());
    }
  }
}

// Places are encoded as in training at every image size; a directory that does not say which that
// was holds a model at its own.
TEST_F(ModelDirectory, TheGridOfTrainingIsKept) {
  auto model = tiny();
  const int64_t grid = model->config().vision.grid();
  save_model(folder_, with_image_size(model, 2 * model->config().vision.image_size), {});
  auto loaded = load_model(folder_).model;
  EXPECT_EQ(loaded->config().vision.grid(), 2 * grid);
  EXPECT_EQ(loaded->config().cloc.encoding_grid, grid);

  const fs::path path = folder_ / "cloc_config.json";
  Json old = read_json(path);
  old["cloc"].erase("encoding_grid");
  write_file(path, dump_json(old));
  EXPECT_EQ(load_model(folder_).model->config().cloc.encoding_grid, 2 * grid);
}

// Also: SentencePiece and libtorch in one program, see text/sentence_piece_library.h.
TEST_F(ModelDirectory, TheTokenizerComesAlongAndMustFit) {
  const fs::path pieces = folder_.parent_path() / "pieces.model";
  int captions = 0;
  train_sentencepiece(
      [&]() -> std::optional<std::string> {
        if (captions++ == 60) return std::nullopt;
        return captions % 2 == 0 ? "a red car beside a tree" : "two dogs in the street";
      },
      {.vocab_size = 50}, pieces);
  const auto tokenizer = load_tokenizer(pieces);
  const auto fitting = [&](ModelConfig& config) {
    config.text.vocab_size = tokenizer->vocab_size();
    config.text.eos_id = tokenizer->end_id();
  };
  SaveOptions options;
  options.tokenizer = tokenizer.get();
  save_model(folder_, tiny(fitting), options);
  const auto loaded = load_model(folder_);
  ASSERT_NE(loaded.tokenizer, nullptr);
  EXPECT_EQ(loaded.tokenizer->encode("two red dogs"), tokenizer->encode("two red dogs"));

  const auto refused = [&](const std::function<void(ModelConfig&)>& change) {
    try {
      save_model(folder_, tiny(change), options);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_THAT(refused([&](ModelConfig& config) {
                fitting(config);
                config.text.eos_id = -1;
              }),
              HasSubstr("the model pools at the highest id"));
  EXPECT_THAT(refused([&](ModelConfig& config) {
                fitting(config);
                config.text.vocab_size -= 1;
              }),
              HasSubstr("ids, the model only"));
  EXPECT_EQ(load_model(folder_).model->config().text.eos_id, tokenizer->end_id());  // untouched
}

TEST_F(ModelDirectory, HuggingFaceNamesAreTransformers) {
  SaveOptions options;
  options.layout = Layout::kHuggingFace;
  save_model(folder_, tiny(), options);
  const SafetensorsFile file(folder_ / "model.safetensors");
  for (const char* name : {"vision_model.pre_layrnorm.weight", "visual_projection.weight",
                           "vision_model.encoder.layers.1.self_attn.k_proj.bias",
                           "text_model.encoder.layers.0.mlp.fc2.weight", "logit_scale",
                           "text_model.final_layer_norm.bias"}) {
    EXPECT_NE(file.find(name), nullptr) << name;
  }
  // 2 + 1 blocks of 16 tensors and 14 others, as transformers counts them.
  EXPECT_EQ(file.tensors().size(), 3 * 16 + 14u);
  EXPECT_EQ(file.metadata("format"), "pt");
}

TEST_F(ModelDirectory, PlainClipHasNoHeads) {
  SaveOptions options;
  options.region_heads = false;
  save_model(folder_, tiny(), options);
  EXPECT_FALSE(fs::exists(folder_ / "cloc_heads.safetensors"));
  EXPECT_FALSE(load_model(folder_).has_region_heads);
  fs::remove(folder_ / "cloc_config.json");  // as open_clip writes it
  EXPECT_FALSE(load_model(folder_).has_region_heads);
}

TEST_F(ModelDirectory, SavingReplacesTheOldDirectoryWhole) {
  SaveOptions options;
  save_model(folder_, tiny(), options);
  std::ofstream(folder_ / "stale") << "x";
  options.region_heads = false;
  save_model(folder_, tiny(), options);
  EXPECT_FALSE(fs::exists(folder_ / "stale"));
  EXPECT_FALSE(fs::exists(folder_ / "cloc_heads.safetensors"));
  int entries = 0;
  for (const auto& entry : fs::directory_iterator(folder_.parent_path())) entries += entry.exists();
  EXPECT_EQ(entries, 1);  // no temporary folder is left
}

TEST_F(ModelDirectory, HalfPrecisionAndOlderScalarsAreRead) {
  save_model(folder_, tiny(), {});
  fixtures::rewrite(folder_ / "open_clip_model.safetensors", [](NamedTensors& tensors) {
    for (auto& [name, tensor] : tensors) tensor = tensor.to(torch::kBFloat16);
    named(tensors, "visual.proj") = named(tensors, "visual.proj").to(torch::kFloat16);
    named(tensors, "logit_scale") = named(tensors, "logit_scale").reshape({1});
    tensors.emplace_back("input_resolution", torch::tensor(32));  // OpenAI's
  });
  const auto loaded = load_model(folder_);
  for (const auto& [name, tensor] : loaded.model->clip_weights())
    EXPECT_EQ(tensor.scalar_type(), torch::kFloat32) << name;
  EXPECT_EQ(loaded.model->logit_scale.dim(), 0);
  EXPECT_NEAR(loaded.model->logit_scale.item<float>(), 2.659f, 0.01f);
}

TEST_F(ModelDirectory, WeightsThatDoNotFitAreNamed) {
  save_model(folder_, tiny(), {});
  fixtures::rewrite(folder_ / "open_clip_model.safetensors", [](NamedTensors& tensors) {
    named(tensors, "visual.proj") = torch::zeros({32, 31});
    named(tensors, "ln_final.bias") = torch::zeros({32}, torch::kInt32);
    std::erase_if(tensors, [](const auto& item) { return item.first == "text_projection"; });
    tensors.emplace_back("surprise", torch::zeros({1}));
  });
  const std::string message = error_of_loading();
  EXPECT_THAT(message, HasSubstr("1 missing: text_projection"));
  EXPECT_THAT(message, HasSubstr("1 unexpected: surprise"));
  EXPECT_THAT(message, HasSubstr("visual.proj [32, 31] where the model has [32, 32]"));
  EXPECT_THAT(message, HasSubstr("ln_final.bias (I32)"));
}

TEST_F(ModelDirectory, OnlyTheFirstMissingNamesAreShown) {
  save_model(folder_, tiny(), {});
  fixtures::rewrite(folder_ / "open_clip_model.safetensors",
                    [](NamedTensors& tensors) { tensors.clear(); });
  const std::string message = error_of_loading();
  EXPECT_THAT(message, HasSubstr("..."));
  EXPECT_LT(message.size(), 600u);
}

TEST_F(ModelDirectory, BrokenDirectoriesAreErrors) {
  EXPECT_THAT(error_of_loading(), HasSubstr("no such model directory"));
  fs::create_directories(folder_);
  EXPECT_THAT(error_of_loading(), HasSubstr("not a model directory"));

  save_model(folder_, tiny(), {});
  const fs::path weights = folder_ / "open_clip_model.safetensors";
  fs::resize_file(weights, fs::file_size(weights) / 2);
  EXPECT_THAT(error_of_loading(), HasSubstr("open_clip_model.safetensors"));
  fs::remove(weights);
  EXPECT_THAT(error_of_loading(), HasSubstr("no open_clip_model.safetensors"));

  save_model(folder_, tiny(), {});
  fs::remove(folder_ / "cloc_heads.safetensors");
  EXPECT_THAT(error_of_loading(), HasSubstr("no cloc_heads.safetensors"));

  save_model(folder_, tiny(), {});
  Json json = read_json(folder_ / "cloc_config.json");
  json["format_version"] = 99;
  write_file(folder_ / "cloc_config.json", dump_json(json));
  EXPECT_THAT(error_of_loading(), HasSubstr("newer"));
  json["format_version"] = 2;
  write_file(folder_ / "cloc_config.json", dump_json(json));
  EXPECT_THAT(error_of_loading(), HasSubstr("train them anew"));
  json["region_heads"] = false;  // a plain CLIP is what it was
  write_file(folder_ / "cloc_config.json", dump_json(json));
  EXPECT_FALSE(load_model(folder_).has_region_heads);
  json["format_version"] = 3;
  json["cloc"]["pol"] = "all";
  write_file(folder_ / "cloc_config.json", dump_json(json));
  EXPECT_THAT(error_of_loading(), HasSubstr("'pol'"));
}

TEST_F(ModelDirectory, ARunDirectoryPointsToItsModel) {
  save_model(folder_, tiny(), {});
  try {
    load_model(folder_.parent_path());
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(folder_.string()));
  }
}

TEST(HfConfig, OpenAisFilesLeaveOutTheDefaults) {
  const Json json = Json::parse(R"({"model_type": "clip", "projection_dim": 768,
      "text_config": {"hidden_size": 768}, "vision_config": {},
      "text_config_dict": {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12},
      "vision_config_dict": {"hidden_size": 1024, "intermediate_size": 4096, "patch_size": 14,
                             "num_hidden_layers": 24, "num_attention_heads": 16}})");
  const auto config = hf_model_config(json, "config.json");
  EXPECT_TRUE(config.quick_gelu);
  EXPECT_EQ(config.embed_dim, 768);
  EXPECT_EQ(config.vision.width, 1024);
  EXPECT_EQ(config.vision.head_width, 64);
  EXPECT_EQ(config.vision.patch_size, 14);
  EXPECT_EQ(config.text.heads, 12);
  EXPECT_EQ(config.text.vocab_size, 49408);
  EXPECT_EQ(config.text.eos_id, -1);
}

TEST(HfConfig, WhatWouldChangeTheModelIsAnError) {
  const auto error_of = [](const char* section, const char* key, const Json& value) {
    Json json = {
        {"model_type", "clip"}, {"vision_config", Json::object()}, {"text_config", Json::object()}};
    json[section][key] = value;
    try {
      hf_model_config(json, "config.json");
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(error_of("vision_config", "attention_dropout", 0.0), "no error");
  EXPECT_THAT(error_of("vision_config", "hidden_act", "gelu"), HasSubstr("hidden_act"));
  EXPECT_THAT(error_of("text_config", "hidden_act", "gelu_new"), HasSubstr("gelu_new"));
  EXPECT_THAT(error_of("vision_config", "layer_norm_eps", 1e-6), HasSubstr("layer_norm_eps"));
  EXPECT_THAT(error_of("vision_config", "num_channels", 1), HasSubstr("num_channels"));
  EXPECT_THAT(error_of("vision_config", "num_attention_heads", 7), HasSubstr("multiple"));
  EXPECT_THAT(error_of("vision_config", "num_attention_heads", 0), HasSubstr("multiple"));
  EXPECT_THAT(error_of("vision_config", "patch_size", 0), HasSubstr("patch_size"));
  EXPECT_THAT(error_of("text_config", "intermediate_size", 1024), HasSubstr("intermediate_size"));
}

TEST(HfConfig, EndTokenTwoCannotBeSaid) {
  auto config = load_model_config("ViT-Test");
  config.text.eos_id = 2;
  EXPECT_THROW(hf_config_json(config), Error);
}

TEST(HfConfig, Preprocessing) {
  auto config = load_model_config("ViT-Test");
  for (const auto rule : {CanvasRule::kLongest, CanvasRule::kShortest, CanvasRule::kSquash}) {
    config.preprocess.resize_mode = rule;
    config.preprocess.bicubic = rule != CanvasRule::kSquash;
    const auto back = hf_preprocess_config(hf_preprocessor_json(config), 32, "p.json");
    EXPECT_EQ(back.resize_mode, rule);
    EXPECT_EQ(back.bicubic, config.preprocess.bicubic);
    EXPECT_EQ(back.mean, config.preprocess.mean);
    EXPECT_EQ(back.std, config.preprocess.std);
  }
  // Older files give the sizes as numbers.
  const auto older = hf_preprocess_config({{"size", 32}, {"crop_size", 32}}, 32, "p.json");
  EXPECT_EQ(older.resize_mode, CanvasRule::kShortest);
  for (const Json& bad : {Json{{"size", 33}}, Json{{"crop_size", 31}}, Json{{"do_resize", false}},
                          Json{{"resample", 1}}, Json{{"rescale_factor", 1}},
                          Json{{"image_mean", {1, 2}}}, Json{{"do_center_crop", false}}}) {
    EXPECT_THROW(hf_preprocess_config(bad, 32, "p.json"), Error) << bad;
  }
}

}  // namespace
}  // namespace opencloc

// Every layout -> every other -> back, and the names other programs look for.
#include <filesystem>
#include <set>

#include <gmock/gmock.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/checkpoint/layout/openai_layout.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/model/config/config.h"
#include "tests/base/temp_folder.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::error_of;
using fixtures::TestFolder;
using ::testing::HasSubstr;

constexpr Layout kAll[] = {Layout::kOpenClip, Layout::kHuggingFace, Layout::kOpenAi, Layout::kGguf};

// Sides are multiples of 32, so that Q8_0 holds every matrix; the heads are not OpenAI's.
Cloc small_model() {
  ModelConfig config;
  config.name = "small";
  config.embed_dim = 32;
  config.vision = {.image_size = 32, .patch_size = 8, .width = 64, .layers = 3, .head_width = 16};
  config.text = {.context_length = 9, .vocab_size = 40, .width = 32, .heads = 4, .layers = 2};
  config.preprocess.resize_mode = CanvasRule::kLongest;
  config.preprocess.fill_color = 7;
  torch::manual_seed(3);
  Cloc model(config);
  const torch::NoGradGuard no_grad;
  for (auto& weight : model->parameters()) weight.add_(0.3 * torch::randn_like(weight));
  return model;
}

SaveOptions as(Layout layout, Dtype dtype = Dtype::kF32) {
  SaveOptions options;
  options.layout = layout;
  options.dtype = dtype;
  options.about = {{"steps", 7}};
  return options;
}

void expect_same(const NamedTensors& a, const NamedTensors& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].first, b[i].first);
    EXPECT_TRUE(torch::equal(a[i].second, b[i].second)) << a[i].first;
  }
}

NamedTensors tensors_of(const fs::path& path) {
  NamedTensors tensors;
  const SafetensorsFile file(path);
  for (const auto& info : file.tensors())
    tensors.emplace_back(info.name, file.tensor(info).clone());
  return tensors;
}

TEST(Layouts, EachToEachAndBackIsBitIdentical) {
  const TestFolder folder;
  const auto original = small_model();
  for (const Layout from : kAll) {
    save_model(folder / "a", original, as(from));
    const auto a = load_model(folder / "a");
    EXPECT_EQ(a.layout, from);
    for (const Layout to : kAll) {
      SCOPED_TRACE(std::string(to_string(from)) + " -> " + to_string(to));
      save_model(folder / "b", a.model, as(to));
      const auto b = load_model(folder / "b");
      EXPECT_EQ(b.layout, to);
      save_model(folder / "c", b.model, as(from));
      const auto back = load_model(folder / "c");
      for (const LoadedModel* loaded : {&b, &back}) {
        expect_same(loaded->model->clip_weights(), original->clip_weights());
        expect_same(loaded->model->region_weights(), original->region_weights());
        EXPECT_TRUE(loaded->has_region_heads);
        EXPECT_EQ(loaded->about, Json({{"steps", 7}}));
        EXPECT_EQ(open_clip_config_json(loaded->model->config()),
                  open_clip_config_json(original->config()));
      }
    }
  }
}

TEST(Layouts, SingleFilesHoldTheTowersAlone) {
  const TestFolder folder;
  const auto original = small_model();
  for (const auto& [layout, name] :
       {std::pair{Layout::kGguf, "m.gguf"}, std::pair{Layout::kOpenAi, "m.safetensors"}}) {
    ASSERT_TRUE(is_single_file(folder / name, layout));
    save_model(folder / name, original, as(layout));
    const auto loaded = load_model(folder / name);
    EXPECT_EQ(loaded.layout, layout);
    EXPECT_FALSE(loaded.has_region_heads);
    expect_same(loaded.model->clip_weights(), original->clip_weights());
    EXPECT_EQ(open_clip_config_json(loaded.model->config()),
              open_clip_config_json(original->config()));
  }
}

TEST(Layouts, HalfPrecisionRoundsOnceAndNoMore) {
  const TestFolder folder;
  const auto original = small_model();
  for (const Layout layout : kAll) {
    for (const auto& [dtype, type] :
         {std::pair{Dtype::kF16, torch::kFloat16}, std::pair{Dtype::kBF16, torch::kBFloat16}}) {
      SCOPED_TRACE(std::string(to_string(layout)) + " " + to_string(dtype));
      save_model(folder / "a", original, as(layout, dtype));
      const auto loaded = load_model(folder / "a");
      const auto wanted = original->clip_weights();
      const auto found = loaded.model->clip_weights();
      for (size_t i = 0; i < wanted.size(); ++i) {
        const auto& value = wanted[i].second;
        // GGUF keeps vectors in F32, and convolutions at least in F16.
        const bool gguf = layout == Layout::kGguf;
        const auto stored =
            !gguf || value.dim() == 2
                ? value.to(type).to(torch::kFloat32)
                : (value.dim() > 2 ? value.to(torch::kFloat16).to(torch::kFloat32) : value);
        EXPECT_TRUE(torch::equal(found[i].second, stored)) << wanted[i].first;
      }
      // Once rounded, another layout in the same type changes nothing.
      save_model(folder / "b", loaded.model, as(Layout::kHuggingFace));
      expect_same(load_model(folder / "b").model->clip_weights(), found);
    }
  }
}

TEST(Layouts, Q8IsWithinHalfAStepOfEachBlock) {
  const TestFolder folder;
  const auto original = small_model();
  save_model(folder / "q.gguf", original, as(Layout::kGguf, Dtype::kQ8_0));
  const auto found = load_model(folder / "q.gguf").model->clip_weights();
  const auto wanted = original->clip_weights();
  int blocked = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const auto& [name, value] = wanted[i];
    if (value.dim() != 2) continue;
    // The projections lie transposed in the file, and so do their blocks.
    const bool projection = name == "visual.proj" || name == "text_projection";
    const auto rows = [&](const torch::Tensor& t) {
      return (projection ? t.t() : t).contiguous().reshape({-1, 32});  // [blocks, 32]
    };
    const auto step = rows(value).abs().amax(1, true) / 127;
    const auto distance = (rows(found[i].second) - rows(value)).abs();
    // Half a step of rounding, and the scale's own: F16 has 11 bits.
    EXPECT_TRUE((distance <= step * (0.5 + 127.0 / 2048) + 1e-7).all().item<bool>()) << name;
    EXPECT_FALSE(torch::equal(found[i].second, value)) << name;
    ++blocked;
  }
  EXPECT_GT(blocked, 20);
  EXPECT_THAT(
      error_of([&] { save_model(folder / "d", original, as(Layout::kOpenClip, Dtype::kQ8_0)); }),
      HasSubstr("only GGUF"));
}

// What transformers 4.35 makes of a CLIPModel with these sizes, name by name.
std::map<std::string, std::vector<int64_t>> transformers_names(const ModelConfig& config) {
  std::map<std::string, std::vector<int64_t>> names;
  const auto tower = [&](const std::string& prefix, int64_t width, int64_t layers) {
    for (int64_t i = 0; i < layers; ++i) {
      const std::string layer = prefix + ".encoder.layers." + std::to_string(i);
      for (const char* part : {"k_proj", "v_proj", "q_proj", "out_proj"}) {
        names[layer + ".self_attn." + part + ".weight"] = {width, width};
        names[layer + ".self_attn." + part + ".bias"] = {width};
      }
      for (const char* norm : {".layer_norm1", ".layer_norm2"}) {
        names[layer + norm + ".weight"] = {width};
        names[layer + norm + ".bias"] = {width};
      }
      names[layer + ".mlp.fc1.weight"] = {4 * width, width};
      names[layer + ".mlp.fc1.bias"] = {4 * width};
      names[layer + ".mlp.fc2.weight"] = {width, 4 * width};
      names[layer + ".mlp.fc2.bias"] = {width};
    }
  };
  const auto& vision = config.vision;
  const auto& text = config.text;
  tower("vision_model", vision.width, vision.layers);
  tower("text_model", text.width, text.layers);
  names["logit_scale"] = {};
  names["text_model.embeddings.token_embedding.weight"] = {text.vocab_size, text.width};
  names["text_model.embeddings.position_embedding.weight"] = {text.context_length, text.width};
  names["vision_model.embeddings.class_embedding"] = {vision.width};
  names["vision_model.embeddings.patch_embedding.weight"] = {vision.width, 3, vision.patch_size,
                                                             vision.patch_size};
  names["vision_model.embeddings.position_embedding.weight"] = {1 + vision.patches(), vision.width};
  for (const char* kind : {".weight", ".bias"}) {
    names[std::string("vision_model.pre_layrnorm") + kind] = {vision.width};
    names[std::string("vision_model.post_layernorm") + kind] = {vision.width};
    names[std::string("text_model.final_layer_norm") + kind] = {text.width};
  }
  names["visual_projection.weight"] = {config.embed_dim, vision.width};
  names["text_projection.weight"] = {config.embed_dim, text.width};
  return names;
}

TEST(Layouts, TransformersFindsEveryNameAndNoOther) {
  EXPECT_EQ(transformers_names(load_model_config("ViT-B-16")).size(), 398u);  // spec/users.md
  const TestFolder folder;
  const auto model = small_model();
  save_model(folder / "hf", model, as(Layout::kHuggingFace));
  std::map<std::string, std::vector<int64_t>> found;
  const SafetensorsFile whole(folder / "hf/model.safetensors");
  for (const auto& tensor : whole.tensors()) found[tensor.name] = tensor.shape;
  const auto wanted = transformers_names(model->config());
  EXPECT_EQ(found, wanted);

  save_model(folder / "vision", model, [] {
    auto options = as(Layout::kHuggingFace);
    options.vision_only = true;
    return options;
  }());
  std::set<std::string> vision;
  const SafetensorsFile tower(folder / "vision/model.safetensors");
  for (const auto& tensor : tower.tensors()) vision.insert(tensor.name);
  std::set<std::string> wanted_vision;
  for (const auto& [name, shape] : wanted) {
    if (name.starts_with("vision_model.")) wanted_vision.insert(name);
  }
  EXPECT_EQ(vision, wanted_vision);
  const Json config = read_json(folder / "vision/config.json");
  EXPECT_EQ(config["model_type"], "clip_vision_model");
  EXPECT_EQ(config["architectures"], Json({"CLIPVisionModel"}));
  EXPECT_EQ(config["hidden_size"], 64);
  EXPECT_FALSE(fs::exists(folder / "vision/cloc_config.json"));
}

TEST(Layouts, AnImageTowerAloneGivesTheSameFeatures) {
  const TestFolder folder;
  const torch::NoGradGuard no_grad;
  auto model = small_model();
  const auto pixels = torch::randn({2, 3, 32, 32});
  const auto wanted = model->encode_image(pixels, {.hidden_layer = -2});
  for (const Layout layout : {Layout::kHuggingFace, Layout::kGguf}) {
    auto options = as(layout);
    options.vision_only = true;
    save_model(folder / "v", model, options);
    auto loaded = load_model(folder / "v");
    EXPECT_TRUE(loaded.vision_only);
    EXPECT_EQ(loaded.tokenizer, nullptr);
    const auto found = loaded.model->encode_image(pixels, {.hidden_layer = -2});
    EXPECT_TRUE(torch::equal(found.hidden, wanted.hidden));
    EXPECT_TRUE(torch::equal(found.tokens, wanted.tokens));
    // transformers' vision model has no projection, a vision GGUF has.
    EXPECT_EQ(found.embedding.size(1), layout == Layout::kGguf ? 32 : 64);
  }
  EXPECT_THAT(error_of([&] {
                auto options = as(Layout::kOpenClip);
                options.vision_only = true;
                save_model(folder / "w", model, options);
              }),
              HasSubstr("no image tower alone"));
}

TEST(Layouts, TransformersFiveNamesAreRead) {
  const TestFolder folder;
  const auto model = small_model();
  auto options = as(Layout::kHuggingFace);
  options.vision_only = true;
  save_model(folder / "v", model, options);
  auto tensors = tensors_of(folder / "v/model.safetensors");
  for (auto& [name, tensor] : tensors) name = name.substr(std::string("vision_model.").size());
  write_safetensors(folder / "v/model.safetensors", tensors);
  const auto weights = load_model(folder / "v").model->clip_weights();
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i].first.starts_with("visual.ln_") || weights[i].first.find("resblocks") != 0)
      continue;
    EXPECT_TRUE(torch::equal(weights[i].second, model->clip_weights()[i].second));
  }
}

class Shards : public ::testing::Test {
 protected:
  void SetUp() override {
    save_model(folder_ / "m", small_model(), as(Layout::kHuggingFace));
    const auto all = tensors_of(folder_ / "m/model.safetensors");
    fs::remove(folder_ / "m/model.safetensors");
    NamedTensors parts[2];
    for (size_t i = 0; i < all.size(); ++i) {
      parts[i % 2].push_back(all[i]);
      map_[all[i].first] = name(i % 2);
    }
    for (size_t i = 0; i < 2; ++i) write_safetensors(folder_ / "m" / name(i), parts[i]);
    write_index();
  }
  static std::string name(size_t i) {
    return "model-0000" + std::to_string(i + 1) + "-of-00002.safetensors";
  }
  void write_index() {
    write_file(folder_ / "m/model.safetensors.index.json", dump_json({{"weight_map", map_}}));
  }
  TestFolder folder_;
  Json map_ = Json::object();
};

TEST_F(Shards, AreReadAsOneFile) {
  expect_same(load_model(folder_ / "m").model->clip_weights(), small_model()->clip_weights());
  EXPECT_THAT(model_sources(folder_ / "m").weights.string(), HasSubstr("index.json"));
}

TEST_F(Shards, MustBeThereAndLieBesideTheIndex) {
  const auto failure = [&] { return error_of([&] { load_model(folder_ / "m"); }); };
  map_["logit_scale"] = "../" + name(0);
  write_index();
  EXPECT_THAT(failure(), HasSubstr("not the name of a file beside"));
  map_["logit_scale"] = name(0);
  map_["surprise"] = name(0);
  write_index();
  EXPECT_THAT(failure(), HasSubstr("'surprise' is not in its shard"));
  fs::remove(folder_ / "m" / name(1));
  EXPECT_THAT(failure(), HasSubstr(name(1)));
}

TEST(OpenAi, TheArchitectureFollowsFromTheShapes) {
  const TestFolder folder;
  ModelConfig config;
  config.embed_dim = 48;
  config.quick_gelu = true;
  config.vision = {.image_size = 48, .patch_size = 16, .width = 128, .layers = 2};
  config.text = {.context_length = 7, .vocab_size = 30, .width = 64, .heads = 1, .layers = 3};
  const Cloc model(config);
  save_model(folder / "m.safetensors", model, as(Layout::kOpenAi, Dtype::kF16));
  auto tensors = tensors_of(folder / "m.safetensors");
  for (const auto& [name, tensor] : tensors) {
    if (name == "input_resolution") {
      EXPECT_EQ(tensor.item<int64_t>(), 48);
    }
    if (name == "context_length") {
      EXPECT_EQ(tensor.item<int64_t>(), 7);
    }
    if (name == "vocab_size") {
      EXPECT_EQ(tensor.item<int64_t>(), 30);
    }
  }
  write_safetensors(folder / "bare.safetensors", tensors);  // without our metadata
  const auto loaded = load_model(folder / "bare.safetensors");
  EXPECT_EQ(open_clip_config_json(loaded.model->config()), open_clip_config_json(config));
  EXPECT_THAT(model_sources(folder / "bare.safetensors").note, HasSubstr("as OpenAI's all are"));

  // open_clip's names without the three numbers: gelu.
  std::erase_if(tensors, [](const auto& item) { return item.second.dtype() == torch::kInt64; });
  write_safetensors(folder / "open.safetensors", tensors);
  EXPECT_FALSE(load_model(folder / "open.safetensors").model->config().quick_gelu);

  tensors = {{"visual.layer1.0.conv1.weight", torch::zeros({1})}};
  write_safetensors(folder / "resnet.safetensors", tensors);
  EXPECT_THAT(error_of([&] { load_model(folder / "resnet.safetensors"); }), HasSubstr("ResNet"));
  write_safetensors(folder / "other.safetensors", {{"weight", torch::zeros({1})}});
  EXPECT_THAT(error_of([&] { load_model(folder / "other.safetensors"); }),
              HasSubstr("not a model's file"));
}

TEST(Layouts, RoundedRatiosOfOpenClipAreRead) {
  for (const char* name : {"ViT-g-14", "ViT-bigG-14"}) {
    const auto config = load_model_config(name);
    const double width = config.vision.mlp_ratio * static_cast<double>(config.vision.width);
    EXPECT_EQ(std::llround(width) % 1024, 0) << name;  // 6144, 8192
  }
}

}  // namespace
}  // namespace opencloc

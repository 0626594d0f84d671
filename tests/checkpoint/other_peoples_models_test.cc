// Models as other programs leave them: what is read, what is assumed and told, what is refused.
#include <cmath>
#include <filesystem>
#include <functional>
#include <memory>

#include <gmock/gmock.h>
#include <torch/serialize.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/checkpoint/file/torch_checkpoint.h"
#include "opencloc/checkpoint/file/torch_pickle.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/model/config/config.h"
#include "tests/base/temp_folder.h"
#include "tests/checkpoint/rewrite.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::error_of;
using fixtures::TestFolder;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

Cloc model_of(int64_t width, int64_t head_width, int64_t text_width = 64) {
  ModelConfig config;
  config.embed_dim = 16;
  config.vision = {
      .image_size = 16, .patch_size = 8, .width = width, .layers = 1, .head_width = head_width};
  config.text = {.context_length = 6, .vocab_size = 30, .width = text_width, .heads = 1};
  config.text.heads = text_width / 64;
  config.text.layers = 1;
  torch::manual_seed(5);
  Cloc model(config);
  const torch::NoGradGuard no_grad;
  for (auto& [name, weight] : model->clip_weights()) weight.add_(0.1 * torch::randn_like(weight));
  return model;
}

NamedTensors weights_of(const Cloc& model) {
  NamedTensors tensors;
  for (const auto& [name, weight] : model->clip_weights())
    tensors.emplace_back(name, weight.detach().clone());
  return tensors;
}

NamedTensors prefixed(const std::string& prefix, NamedTensors tensors) {
  for (auto& [name, tensor] : tensors) name.insert(0, prefix);
  return tensors;
}

std::string assumed_in(const fs::path& path, const ModelHints& hints = {}) {
  std::string all;
  for (const auto& text : model_sources(path, hints).assumed) all += text + '\n';
  return all;
}

void expect_weights(const fs::path& path, const Cloc& wanted) {
  const auto loaded = load_model(path);
  const auto a = loaded.model->clip_weights(), b = wanted->clip_weights();
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i)
    EXPECT_TRUE(torch::equal(a[i].second, b[i].second)) << a[i].first;
}

// A CLIP directory as transformers has it.
class HfFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    model_ = model_of(64, 64);
    SaveOptions options;
    options.layout = Layout::kHuggingFace;
    options.region_heads = options.region_config = false;
    save_model(at(), model_, options);
  }
  fs::path at(const std::string& name = "") const {
    return name.empty() ? folder_ / "m" : folder_ / "m" / name;
  }
  void change_config(const std::string& name, const std::function<void(Json&)>& change) const {
    Json json = read_json(at(name));
    change(json);
    write_file(at(name), dump_json(json));
  }
  TestFolder folder_;
  Cloc model_{nullptr};
};

TEST(BareWeights, HeadsAreThoseOfTheKnownWidth) {
  const TestFolder folder;
  const auto model = model_of(1280, 80);  // ViT-H-14's image tower, one block of it
  write_safetensors(folder / "h.safetensors", weights_of(model));
  EXPECT_EQ(read_model_config(folder / "h.safetensors").vision.head_width, 80);
  const std::string assumed = assumed_in(folder / "h.safetensors");
  EXPECT_THAT(assumed, HasSubstr("heads of 80 in the image tower of width 1280"));
  EXPECT_THAT(assumed, HasSubstr("ViT-H-14"));
  EXPECT_THAT(assumed, HasSubstr("gelu"));
  EXPECT_THAT(assumed, HasSubstr("pictures are prepared"));
  SaveOptions hf;
  hf.layout = Layout::kHuggingFace;
  save_model(folder / "hf", load_model(folder / "h.safetensors").model, hf);
  EXPECT_EQ(read_json(folder / "hf/config.json")["vision_config"]["num_attention_heads"], 16);
  for (const auto& [width, heads] : {std::pair{1408, 16}, {1664, 16}, {1024, 16}, {768, 12}}) {
    write_safetensors(folder / "w.safetensors", weights_of(model_of(width, width / heads)));
    EXPECT_EQ(read_model_config(folder / "w.safetensors").vision.heads(), heads) << width;
  }
}

TEST(BareWeights, UnknownWidthsAreRefusedUnlessTheArchitectureIsNamed) {
  const TestFolder folder;
  const auto model = model_of(320, 80);
  const fs::path bare = folder / "bare.safetensors";
  write_safetensors(bare, weights_of(model));
  EXPECT_THAT(error_of([&] { load_model(bare); }), HasSubstr("setting 'architecture=NAME'"));
  write_file(folder / "own.json", dump_json(open_clip_config_json(model->config())["model_cfg"]));
  const ModelHints hints{(folder / "own.json").string()};
  EXPECT_EQ(load_model(bare, hints).model->config().vision.heads(), 4);
  EXPECT_THAT(assumed_in(bare, hints), IsEmpty());
  EXPECT_THAT(error_of([&] { load_model(bare, {"ViT-B-32"}); }), HasSubstr("width is 320"));
  EXPECT_THAT(error_of([&] { load_model(bare, {"ViT-Nothing"}); }), HasSubstr("no model of that"));
  // What has a configuration needs no hint.
  save_model(folder / "whole", model, {});
  EXPECT_THAT(error_of([&] { load_model(folder / "whole", hints); }), HasSubstr("leave"));
}

TEST(BareWeights, ANameThatSaysQuickGeluIsBelieved) {
  const TestFolder folder;
  const auto model = model_of(64, 64);
  write_safetensors(folder / "vit_b_32-quickgelu-laion400m.safetensors", weights_of(model));
  write_safetensors(folder / "vit_b_32-laion400m.safetensors", weights_of(model));
  const fs::path quick = folder / "vit_b_32-quickgelu-laion400m.safetensors";
  EXPECT_TRUE(read_model_config(quick).quick_gelu);
  EXPECT_THAT(assumed_in(quick), HasSubstr("quick_gelu, as its name says"));
  EXPECT_FALSE(read_model_config(folder / "vit_b_32-laion400m.safetensors").quick_gelu);
}

TEST(BareWeights, WrappersAreTakenOff) {
  const TestFolder folder;
  const auto model = model_of(64, 64);
  for (const char* prefix : {"module.", "_orig_mod.", "model.", "_orig_mod.module.", "student.",
                             "module.model._orig_mod.", "clip.", "net."}) {
    SCOPED_TRACE(prefix);
    write_safetensors(folder / "w.safetensors", prefixed(prefix, weights_of(model)));
    expect_weights(folder / "w.safetensors", model);
  }
  auto lightning = prefixed("model.", weights_of(model));
  lightning.emplace_back("loss.weight", torch::zeros({3}));
  write_safetensors(folder / "w.safetensors", lightning);
  expect_weights(folder / "w.safetensors", model);
  EXPECT_THAT(assumed_in(folder / "w.safetensors"), HasSubstr("left out: loss.weight"));
  auto both = prefixed("student.", weights_of(model));
  for (auto& item : prefixed("teacher.", weights_of(model))) both.push_back(item);
  write_safetensors(folder / "w.safetensors", both);
  EXPECT_THAT(error_of([&] { load_model(folder / "w.safetensors"); }),
              HasSubstr("'student.', 'teacher.'"));
}

TEST_F(HfFolder, WrappersAreTakenOff) {
  for (const char* prefix : {"module.", "_orig_mod.module.", "model."}) {
    SCOPED_TRACE(prefix);
    fixtures::rewrite(at("model.safetensors"),
                      [&](NamedTensors& tensors) { tensors = prefixed(prefix, tensors); });
    expect_weights(at(), model_);
  }
}

TEST_F(HfFolder, ProcessorConfigAloneIsRead) {
  Json inner = read_json(at("preprocessor_config.json"));
  inner["image_mean"] = inner["image_std"] = {0.5, 0.5, 0.5};
  inner["size"] = {{"height", 16}, {"width", 16}};
  inner["do_center_crop"] = false;
  inner["resample"] = 2;
  const Json outer = {{"processor_class", "CLIPProcessor"}, {"image_processor", inner}};
  write_file(at("processor_config.json"), dump_json(outer));
  // Beside the older file, transformers 5's counts, and it is told.
  EXPECT_EQ(read_model_config(at()).preprocess.mean[0], 0.5f);
  EXPECT_THAT(assumed_in(at()), HasSubstr("contradict each other"));
  fs::remove(at("preprocessor_config.json"));
  const auto config = read_model_config(at()).preprocess;
  EXPECT_EQ(config.mean[0], 0.5f);
  EXPECT_EQ(config.resize_mode, CanvasRule::kSquash);
  EXPECT_FALSE(config.bicubic);
  EXPECT_THAT(assumed_in(at()), IsEmpty());
  // Older ones hold no image processor.
  write_file(at("processor_config.json"), R"({"processor_class": "CLIPProcessor"})");
  EXPECT_THAT(assumed_in(at()), HasSubstr("taken as CLIP's"));
}

TEST_F(HfFolder, DoConvertRgbFalseLoadsAndNoNormalisationIsNone) {
  change_config("preprocessor_config.json", [](Json& json) { json["do_convert_rgb"] = false; });
  EXPECT_NO_THROW(load_model(at()));
  change_config("preprocessor_config.json", [](Json& json) { json["do_normalize"] = false; });
  EXPECT_EQ(read_model_config(at()).preprocess.mean[0], 0);
  EXPECT_EQ(read_model_config(at()).preprocess.std[2], 1);
}

TEST_F(HfFolder, TwoConfigurationsSideBySide) {
  const Json open_clip = open_clip_config_json(model_->config());
  write_file(at("open_clip_config.json"), dump_json(open_clip));
  expect_weights(at(), model_);  // the weights are transformers'
  EXPECT_EQ(*layout_of(at()), Layout::kHuggingFace);
  EXPECT_THAT(assumed_in(at()), IsEmpty());
  Json other = open_clip;
  other["model_cfg"]["quick_gelu"] = true;
  write_file(at("open_clip_config.json"), dump_json(other));
  EXPECT_THAT(assumed_in(at()), HasSubstr("quick_gelu"));
  // open_clip's configuration over a file of open_clip's names, whatever it is called.
  fs::remove(at("config.json"));
  write_file(at("open_clip_config.json"), dump_json(open_clip));
  write_safetensors(at("model.safetensors"), weights_of(model_));
  expect_weights(at(), model_);
}

TEST_F(HfFolder, TypesThatAreNotReadAreNamed) {
  for (const char* type : {"chinese_clip", "siglip2", "blip", "clip_text_model",
                           "vision-text-dual-encoder", "llava"}) {
    change_config("config.json", [&](Json& json) { json["model_type"] = type; });
    const std::string error = error_of([&] { load_model(at()); });
    EXPECT_THAT(error, HasSubstr("\"" + std::string(type) + "\" is not read"));
    EXPECT_THAT(error, HasSubstr("clip, clip_vision_model, siglip"));
  }
  change_config("config.json", [](Json& json) { json.erase("model_type"); });
  expect_weights(at(), model_);  // its class says it
  change_config("config.json", [](Json& json) { json["architectures"] = {"BlipModel"}; });
  EXPECT_THAT(error_of([&] { load_model(at()); }), HasSubstr("\"BlipModel\" is not read"));
  fs::remove(at("config.json"));
  EXPECT_THAT(error_of([&] { load_model(at()); }), HasSubstr("no config.json"));
  EXPECT_THAT(error_of([&] { load_model(at("model.safetensors")); }), HasSubstr("no config.json"));
}

TEST_F(HfFolder, WeightsThatAreNoNumbersAreRefused) {
  for (const double value : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    fixtures::rewrite(at("model.safetensors"), [&](NamedTensors& tensors) {
      for (auto& [name, tensor] : tensors) {
        if (name == "visual_projection.weight") tensor[3][5] = value;
      }
    });
    const std::string error = error_of([&] { load_model(at()); });
    EXPECT_THAT(error, HasSubstr("infinite or no numbers: visual_projection.weight"));
  }
  fixtures::rewrite(at("model.safetensors"), [&](NamedTensors& tensors) {
    for (auto& [name, tensor] : tensors) {
      if (name == "visual_projection.weight") tensor.zero_();
    }
  });
  EXPECT_THAT(error_of([&] { load_model(at()); }), HasSubstr("all values of visual.proj are 0"));
}

TEST(Conversion, ValuesTooLargeForF16AreNotWritten) {
  const TestFolder folder;
  auto model = model_of(64, 64);
  {
    const torch::NoGradGuard no_grad;
    model->clip_weights()[0].second.fill_(1e5);
  }
  SaveOptions options;
  options.dtype = Dtype::kF16;
  EXPECT_THAT(error_of([&] { save_model(folder / "m", model, options); }),
              HasSubstr("too large for f16"));
  EXPECT_FALSE(fs::exists(folder / "m"));
}

TEST(NotFetched, PointersAndPagesAreNamed) {
  const TestFolder folder;
  save_model(folder / "m", model_of(64, 64), {});
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 1234\n";
  for (const char* name : {"open_clip_model.safetensors", "open_clip_config.json"}) {
    const std::string kept = read_file(folder / "m" / name);
    write_file(folder / "m" / name, pointer);
    EXPECT_THAT(error_of([&] { load_model(folder / "m"); }), HasSubstr("a git-lfs pointer"))
        << name;
    write_file(folder / "m" / name, "<!DOCTYPE html><html></html>");
    EXPECT_THAT(error_of([&] { load_model(folder / "m"); }), HasSubstr("a web page")) << name;
    write_file(folder / "m" / name, kept);
  }
  write_file(folder / "bpe_simple_vocab_16e6.txt.gz", pointer);
  EXPECT_THAT(error_of([&] { load_tokenizer(folder / "bpe_simple_vocab_16e6.txt.gz"); }),
              HasSubstr("git-lfs"));
  for (const char* name : {"w.gguf", "w.pt", "w.safetensors"}) {
    write_file(folder / name, pointer);
    EXPECT_THAT(error_of([&] { load_model(folder / name); }), HasSubstr("git-lfs")) << name;
  }
}

TEST(Fp8, IsNamedAndNotCalledDamage) {
  const TestFolder folder;
  const std::string header = R"({"a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}})";
  std::string file(8, '\0');
  file[0] = static_cast<char>(header.size());
  write_file(folder / "f8.safetensors", file + header + "1234");
  const std::string error = error_of([&] { open_weights(folder / "f8.safetensors"); });
  EXPECT_THAT(error, HasSubstr("floats of 8 bits (F8_E4M3)"));
  EXPECT_THAT(error, Not(HasSubstr("damaged")));
}

TEST(Folders, SeveralFilesOfWeightsAreListed) {
  const TestFolder folder;
  const auto model = model_of(64, 64);
  write_safetensors(folder / "m/epoch_1.safetensors", weights_of(model));
  expect_weights(folder / "m", model);
  // What is no CLIP beside it is no second one.
  write_safetensors(folder / "m/optimizer.safetensors", {{"state.0", torch::zeros({2})}});
  expect_weights(folder / "m", model);
  write_safetensors(folder / "m/epoch_2.safetensors", weights_of(model));
  const std::string error = error_of([&] { load_model(folder / "m"); });
  EXPECT_THAT(error, HasSubstr("2 files of weights lie here: epoch_1.safetensors, "
                               "epoch_2.safetensors"));
  fs::create_directories(folder / "logs");
  fs::rename(folder / "m", folder / "logs/checkpoints");
  EXPECT_THAT(error_of([&] { load_model(folder / "logs"); }), HasSubstr("epoch_2.safetensors"));
}

TEST(Paths, ThatAreNoneSayWhatToDo) {
  EXPECT_THAT(error_of([] { load_model("hf-hub:laion/CLIP-ViT-B-32"); }), HasSubstr("download"));
  EXPECT_THAT(error_of([] { load_model("https://h/m.pt"); }), HasSubstr("download"));
  EXPECT_THAT(error_of([] { load_model("ViT-B-32"); }), HasSubstr("an architecture"));
}

TEST_F(HfFolder, ATokenizerThatCannotBeReadIsTold) {
  write_file(at("vocab.json"), "{}");
  EXPECT_THAT(assumed_in(at()), HasSubstr("vocab.json lies here without merges.txt"));
  EXPECT_EQ(load_model(at()).tokenizer, nullptr);
  fs::remove(at("vocab.json"));
  write_file(at("tokenizer.json"), R"({"model": {"type": "Unigram", "vocab": []}})");
  EXPECT_THAT(assumed_in(at()), HasSubstr("tokenizer.json holds no BPE"));
  EXPECT_EQ(load_model(at()).tokenizer, nullptr);
}

TEST_F(HfFolder, AnImageTowersConfigurationTakesTheImageTower) {
  change_config("config.json", [](Json& json) {
    json = json["vision_config"];
    json["model_type"] = "clip_vision_model";
  });
  const auto loaded = load_model(at());
  EXPECT_TRUE(loaded.vision_only);
  EXPECT_THAT(assumed_in(at()), HasSubstr("image tower alone"));
}

// Pickles by hand: what lies beside a state dict.
std::unique_ptr<Pickle> pickle_of(const std::string& codes) {
  return std::make_unique<Pickle>(std::as_bytes(std::span(codes.data(), codes.size())), "p");
}

TEST(Pickles, ObjectsOfOtherClassesAreValuesOfNoInterest) {
  // {"args": argparse.Namespace(lr=1), "best": numpy scalar, "set": {1}, "big": 2 ** 72}
  constexpr char kCodes[] =
      "\x80\x04}(X\x04\0\0\0args"
      "cargparse\nNamespace\n)\x81}X\x02\0\0\0lrK\x01sb"
      "X\x04\0\0\0best"
      "cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\nX\x02\0\0\0f8\x89\x88\x87RC\x02"
      "12tR"
      "X\x03\0\0\0set\x8f(K\x01\x90"
      "X\x03\0\0\0big\x8a\x0a"
      "\0\0\0\0\0\0\0\0\0\1u.";
  const std::string whole(kCodes, sizeof kCodes - 1);
  const auto pickle = pickle_of(whole);
  EXPECT_EQ(pickle->root().values.size(), 8u);
  EXPECT_EQ(pickle->root().find("args")->kind, PickleValue::Kind::kOther);
  EXPECT_EQ(pickle->root().find("args")->text, "argparse.Namespace");
  EXPECT_EQ(pickle->root().find("best")->kind, PickleValue::Kind::kOther);
}

TEST(Pickles, WhatReachesOutIsStillRefused) {
  for (const char* name :
       {"os\nsystem", "posix\nsystem", "subprocess\nPopen", "builtins\ngetattr",
        "builtins\n__import__", "__builtin__\neval", "os.path\njoin", "importlib\nimport_module"}) {
    EXPECT_THAT(error_of([&] { pickle_of("c" + std::string(name) + "\n."); }),
                HasSubstr("asks for"))
        << name;
  }
}

TEST(Pickles, TensorsOfOtherKindsAreNotLeftOutSilently) {
  EXPECT_THAT(error_of([] {
                pickle_of(
                    "ctorch._utils\n_rebuild_tensor_v3\n(NK\x01))\x89N"
                    "ctorch\nfloat8_e4m3fn\ntR.");
              }),
              HasSubstr("floats of 8 bits (torch.float8_e4m3fn)"));
  EXPECT_THAT(error_of([] { pickle_of("ctorch._utils\n_rebuild_sparse_tensor\n)R."); }),
              HasSubstr("_rebuild_sparse_tensor"));
}

}  // namespace
}  // namespace opencloc

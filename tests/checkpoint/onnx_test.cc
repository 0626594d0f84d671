// ONNX graphs as files: what is written parses back whole, in one file or in two, and what is
// damaged is refused. That runtimes give our numbers is for tests/tools/onnx_test.py.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include <gmock/gmock.h>
#include <torch/utils.h>

#include "opencloc/base/files.h"
#include "opencloc/base/json.h"
#include "opencloc/base/protobuf.h"
#include "opencloc/checkpoint/layout/onnx_layout.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/checkpoint/onnx/outline.h"
#include "opencloc/checkpoint/onnx/towers.h"
#include "opencloc/model/quantized.h"
#include "tests/base/temp_folder.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::error_of;
using fixtures::TestFolder;
using ::testing::HasSubstr;

ModelConfig small_graph_config() {
  ModelConfig config;
  config.name = "small";
  config.embed_dim = 24;
  config.vision = {.image_size = 32, .patch_size = 8, .width = 32, .layers = 2, .head_width = 16};
  config.text = {.context_length = 9, .vocab_size = 40, .width = 32, .heads = 4, .layers = 1};
  return config;
}

class Onnx : public ::testing::Test {
 protected:
  Cloc small_model(const ModelConfig& config = small_graph_config()) {
    torch::manual_seed(7);
    return Cloc(config);
  }
  void export_to(const char* name, const Cloc& model, bool vision_only = false) {
    SaveOptions options;
    options.layout = Layout::kOnnx;
    options.vision_only = vision_only;
    save_model(folder_ / name, model, options);
  }
  // An Outline of a file of these bytes.
  std::string refusal(std::string_view bytes) {
    write_file(folder_ / "bad.onnx", bytes);
    return error_of([&] { onnx::read_outline(folder_ / "bad.onnx"); });
  }
  TestFolder folder_;
};

std::set<std::string> files_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    names.insert(entry.path().filename().string());
  return names;
}

std::vector<std::string> names_of(const std::vector<onnx::Port>& ports) {
  std::vector<std::string> names;
  for (const auto& port : ports) names.push_back(port.name);
  return names;
}

int64_t count_of(const onnx::Outline& outline, const char* op) {
  return std::ranges::count(outline.nodes, op, &onnx::NodeOutline::op);
}

TEST_F(Onnx, AModelBecomesAGraphForEachOfItsParts) {
  export_to("graphs", small_model());
  EXPECT_EQ(files_in(folder_ / "graphs"),
            (std::set<std::string>{"visual.onnx", "textual.onnx", "prompter.onnx",
                                   "prompter_points.onnx", "grounding.onnx", "onnx_config.json"}));
  const auto visual = onnx::read_outline(folder_ / "graphs" / "visual.onnx");
  EXPECT_EQ(visual.opset, 17);
  EXPECT_EQ(visual.ir_version, 8);
  EXPECT_EQ(visual.producer, "OpenCLOC");
  ASSERT_EQ(visual.inputs.size(), 1U);
  EXPECT_EQ(visual.inputs[0].name, "pixel_values");
  EXPECT_EQ(visual.inputs[0].type, torch::kFloat);
  EXPECT_EQ(visual.inputs[0].shape, (onnx::Shape{"batch", int64_t{3}, int64_t{32}, int64_t{32}}));
  EXPECT_EQ(names_of(visual.outputs), (std::vector<std::string>{"image_embeds", "image_tokens"}));
  EXPECT_EQ(visual.outputs[1].shape, (onnx::Shape{"batch", int64_t{17}, int64_t{32}}));
  EXPECT_EQ(count_of(visual, "Softmax"), 2);
  EXPECT_EQ(count_of(visual, "LayerNormalization"), 6);

  const auto textual = onnx::read_outline(folder_ / "graphs" / "textual.onnx");
  EXPECT_EQ(textual.inputs.at(0).type, torch::kInt64);
  EXPECT_EQ(textual.inputs.at(0).shape, (onnx::Shape{"batch", int64_t{9}}));
  const auto boxes = onnx::read_outline(folder_ / "graphs" / "prompter.onnx");
  EXPECT_EQ(names_of(boxes.inputs), (std::vector<std::string>{"image_tokens", "boxes"}));
  EXPECT_EQ(boxes.inputs[1].shape, (onnx::Shape{"batch", "regions", int64_t{4}}));
  EXPECT_EQ(boxes.outputs.at(0).shape, (onnx::Shape{"batch", "regions", int64_t{24}}));

  const Json about = read_json(folder_ / "graphs" / "onnx_config.json");
  EXPECT_EQ(about["opset"], 17);
  EXPECT_EQ(about["text"]["context_length"], 9);
  EXPECT_EQ(about["preprocess_cfg"]["resize_mode"], "shortest");
  EXPECT_EQ(about["files"]["prompter.onnx"]["inputs"]["boxes"], Json({"batch", "regions", 4}));
}

TEST_F(Onnx, StoredValuesAreTheModels) {
  const auto model = small_model();
  export_to("graphs", model);
  const fs::path path = folder_ / "graphs" / "visual.onnx";
  const auto outline = onnx::read_outline(path);
  const std::string bytes = read_file(path);
  const auto found = std::ranges::find(outline.stored, "visual.proj", &onnx::StoredOutline::name);
  ASSERT_NE(found, outline.stored.end());
  EXPECT_FALSE(found->outside);
  const auto& proj = model->named_parameters()["visual.proj"];  // [D, E]
  EXPECT_EQ(found->shape, proj.sizes().vec());
  const auto stored = torch::from_blob(const_cast<char*>(bytes.data()) + found->begin,
                                       {static_cast<int64_t>(found->bytes)}, torch::kByte)
                          .clone()
                          .view(torch::kFloat);
  EXPECT_TRUE(torch::equal(stored, proj.flatten()));
}

TEST_F(Onnx, LargeWeightsLieInASecondFile) {
  const auto model = small_model();
  TowerOptions options;
  fs::create_directories(folder_ / "parted");
  onnx_layout::write_parted(folder_ / "parted", model, options, 20'000);
  export_to("whole", model);
  EXPECT_TRUE(files_in(folder_ / "parted").contains("visual.onnx.data"));
  const auto parted = onnx::read_outline(folder_ / "parted" / "visual.onnx");
  const auto whole = onnx::read_outline(folder_ / "whole" / "visual.onnx");
  ASSERT_EQ(parted.stored.size(), whole.stored.size());
  const std::string within = read_file(folder_ / "whole" / "visual.onnx");
  const std::string beside = read_file(folder_ / "parted" / "visual.onnx.data");
  size_t outside = 0;
  for (size_t i = 0; i < whole.stored.size(); ++i) {
    const auto &a = whole.stored[i], &b = parted.stored[i];
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.bytes, b.bytes);
    EXPECT_EQ(b.outside, b.bytes >= 1024) << b.name;
    if (!b.outside) continue;
    ++outside;
    EXPECT_EQ(b.file, "visual.onnx.data");
    EXPECT_EQ(b.begin % 4096, 0U);
    EXPECT_EQ(within.substr(a.begin, a.bytes), beside.substr(b.begin, b.bytes)) << b.name;
  }
  EXPECT_GT(outside, 10U);
  const auto totals = onnx_layout::totals(folder_ / "parted");
  EXPECT_EQ(totals.values, onnx_layout::totals(folder_ / "whole").values);
  // A second file that is missing, or was cut.
  fs::resize_file(folder_ / "parted" / "visual.onnx.data", beside.size() - 1);
  EXPECT_THAT(error_of([&] { onnx::read_outline(folder_ / "parted" / "visual.onnx"); }),
              HasSubstr("does not lie in visual.onnx.data"));
  fs::remove(folder_ / "parted" / "visual.onnx.data");
  EXPECT_THAT(error_of([&] { onnx::read_outline(folder_ / "parted" / "visual.onnx"); }),
              HasSubstr("does not lie in visual.onnx.data"));
}

TEST_F(Onnx, WhatAModelLacksHasNoGraph) {
  auto config = small_graph_config();
  config.region_part = false;
  export_to("plain", small_model(config));
  EXPECT_EQ(files_in(folder_ / "plain"),
            (std::set<std::string>{"visual.onnx", "textual.onnx", "onnx_config.json"}));
  export_to("eyes", small_model(), /*vision_only=*/true);
  EXPECT_EQ(files_in(folder_ / "eyes"), (std::set<std::string>{"visual.onnx", "onnx_config.json"}));
  auto roi = small_graph_config();
  roi.cloc.region_extractor = RegionExtractor::kRoiAlign;
  roi.cloc.quality_head = true;
  export_to("roi", small_model(roi));
  EXPECT_FALSE(files_in(folder_ / "roi").contains("prompter_points.onnx"));
  EXPECT_EQ(names_of(onnx::read_outline(folder_ / "roi" / "prompter.onnx").outputs),
            (std::vector<std::string>{"quality_logits", "region_embeds"}));
}

TEST_F(Onnx, ModelsWithoutSuchGraphsAreRefused) {
  auto captioner = small_graph_config();
  captioner.embed_dim = captioner.text.width;
  captioner.custom_text = true;
  captioner.vision.attentional_pool = true;
  captioner.vision.attn_pooler_queries = 5;
  captioner.vision.attn_pooler_heads = 2;
  captioner.text.embed_cls = true;
  EXPECT_THAT(error_of([&] { export_to("coca", small_model(captioner)); }),
              HasSubstr("a captioner (CoCa)"));
  EXPECT_FALSE(fs::exists(folder_ / "coca"));
  SaveOptions options;
  options.layout = Layout::kOnnx;
  options.dtype = Dtype::kF16;
  EXPECT_THAT(error_of([&] { save_model(folder_ / "half", small_model(), options); }),
              HasSubstr("written in f32"));
  auto quantized = small_model();
  quantize_towers(quantized);
  EXPECT_THAT(error_of([&] { export_to("int8", quantized); }), HasSubstr("8-bit weights"));
}

TEST_F(Onnx, AFolderOfGraphsIsNotLoaded) {
  export_to("graphs", small_model());
  EXPECT_EQ(layout_of(folder_ / "graphs"), Layout::kOnnx);
  EXPECT_THAT(error_of([&] { load_model(folder_ / "graphs"); }),
              HasSubstr("holds ONNX graphs, which are written and not read"));
}

TEST_F(Onnx, DamagedFilesAreRefused) {
  export_to("graphs", small_model());
  const std::string good = read_file(folder_ / "graphs" / "grounding.onnx");
  EXPECT_THAT(refusal(""), HasSubstr("no graph"));
  EXPECT_THAT(refusal("no ONNX at all"), HasSubstr("damaged protocol buffer"));
  for (const size_t cut : {size_t{1}, size_t{20}, good.size() / 2, good.size() - 1})
    EXPECT_NE(refusal(std::string_view(good).substr(0, cut)), "no error") << cut;
  // A number of eleven bytes, a field 0, a length of 2^63.
  EXPECT_THAT(refusal("\x08" + std::string(10, '\xff')), HasSubstr("a number without an end"));
  EXPECT_THAT(refusal(std::string("\x00\x01", 2)), HasSubstr("a field without a number"));
  std::string far;
  protobuf::put_size(far, 7, uint64_t{1} << 63);
  EXPECT_THAT(refusal(far), HasSubstr("reaches beyond its message"));
  // A name that no node gives.
  std::string other = good;
  const auto place = other.find("LayerNormalization_");
  ASSERT_NE(place, std::string::npos);
  other.replace(place, 5, "Lazer");
  EXPECT_THAT(refusal(other), HasSubstr("is read before it is there"));
}

// Every single byte may be wrong: an outline or an Error, and nothing else.
TEST_F(Onnx, NoWrongByteDoesHarm) {
  auto config = small_graph_config();
  config.vision.layers = 1;
  export_to("graphs", small_model(config));
  std::string bytes = read_file(folder_ / "graphs" / "prompter_points.onnx");
  int refused = 0;
  for (size_t i = 0; i < 1500; ++i) {  // the head of the file: its messages, not its weights
    const char before = bytes[i];
    bytes[i] = static_cast<char>(before ^ (1 << (i % 8)));
    {
      std::ofstream file(folder_ / "bad.onnx", std::ios::binary);
      file << bytes;
    }
    try {
      onnx::read_outline(folder_ / "bad.onnx");
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), 2);
      ++refused;
    }
    bytes[i] = before;
  }
  EXPECT_GT(refused, 300);
}

}  // namespace
}  // namespace opencloc

// ONNX graphs in ONNX Runtime and OpenVINO give our numbers (onnx_reference.py), and onnx.checker
// takes them. Skipped, visibly, unless OPENCLOC_DROP_IN_PYTHON names a Python that has onnx,
// onnxruntime, openvino, numpy and safetensors:
//     python3 -m venv V && V/bin/pip install onnx onnxruntime openvino numpy safetensors
//     export OPENCLOC_DROP_IN_PYTHON=$PWD/V/bin/python
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/checkpoint/layout/onnx_layout.h"
#include "opencloc/checkpoint/model_directory.h"
#include "tests/base/temp_folder.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;

class OnnxParity : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* python = std::getenv("OPENCLOC_DROP_IN_PYTHON");
    if (python == nullptr) GTEST_SKIP() << "OPENCLOC_DROP_IN_PYTHON is not set";
    python_ = python;
  }

  // Every parameter random, so that no bias, norm or position can be forgotten unnoticed.
  static Cloc random_graph_model(const ModelConfig& config) {
    config.validate("test");
    torch::manual_seed(11);
    Cloc model(config);
    const torch::NoGradGuard no_grad;
    for (auto& item : model->named_parameters()) {
      auto& value = item.value();
      if (value.dim() == 0) continue;
      const bool norm = item.key().find("ln_") != std::string::npos ||
                        item.key().find(".ln.") != std::string::npos;
      const double size =
          value.dim() > 1 && !norm ? std::pow(static_cast<double>(value.size(-1)), -0.5) : 0.2;
      value.copy_(torch::randn_like(value) * size +
                  (norm && item.key().ends_with("weight") ? 1 : 0));
    }
    model->eval();
    return model;
  }

  // Graphs and what we compute, for `batch` pictures with `regions` prompts each, then the script.
  void compare(const ModelConfig& config, uint64_t bytes_within = 2'000'000'000) {
    const auto model = random_graph_model(config);
    const fs::path folder = folder_ / "graphs";
    fs::create_directories(folder);
    onnx_layout::write_parted(folder, model, {}, bytes_within);
    for (const auto& [batch, regions] : {std::pair<int64_t, int64_t>{1, 1}, {5, 17}})
      write_case(model, batch, regions, folder);
    const std::string command =
        python_ + " " OPENCLOC_SOURCE_DIR "/tests/checkpoint/onnx_reference.py " + folder.string();
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
  }

  static void write_case(Cloc model, int64_t batch, int64_t regions, const fs::path& folder) {
    const torch::NoGradGuard no_grad;
    const auto& config = model->config();
    const int64_t side = config.vision.image_size, length = config.text.context_length;
    const auto pixels = torch::randn({batch, 3, side, side});
    auto ids = torch::randint(3, config.text.vocab_size - 1, {batch, length}, torch::kInt64);
    for (int64_t i = 0; i < batch; ++i)  // an end at another place in each
      ids[i][1 + i % (length - 1)] =
          config.text.eos_id >= 0 ? config.text.eos_id : config.text.vocab_size - 1;
    auto features = model->encode_image(pixels);
    NamedTensors tensors = {{"in.pixel_values", pixels},
                            {"in.input_ids", ids},
                            {"out.image_embeds", features.embedding},
                            {"out.image_tokens", features.for_regions()},
                            {"out.text_embeds", model->encode_text(ids)}};
    if (config.region_part) {
      const auto corners = torch::rand({batch, regions, 2, 2});
      const auto boxes = torch::cat({corners.amin(2), corners.amax(2)}, 2);  // [B, R, 4]
      const auto points = torch::rand({batch, regions, 2});
      const auto texts = torch::randn({batch, regions, config.embed_dim});
      const auto index = torch::arange(batch, torch::kInt64).repeat_interleave(regions);
      const auto shaped = [&](const torch::Tensor& t) {
        return t.reshape({batch, regions, -1}).contiguous();
      };
      const auto found =
          model->encode_regions(features, box_prompts(boxes.reshape({-1, 4}), index));
      tensors.insert(tensors.end(),
                     {{"in.boxes", boxes},
                      {"in.points", points},
                      {"in.region_texts", texts},
                      {"out.region_embeds", shaped(found)},
                      {"out.boxes", shaped(model->ground(features, texts.flatten(0, 1), index))}});
      if (config.cloc.region_extractor == RegionExtractor::kPrompter) {
        const auto prompts = point_prompts(points.reshape({-1, 1, 2}), index);
        tensors.emplace_back("out.point_embeds", shaped(model->encode_regions(features, prompts)));
      }
      if (config.cloc.quality_head)
        tensors.emplace_back("out.quality_logits",
                             model->quality_logits(found).reshape({batch, regions}));
    }
    write_safetensors(folder / ("case_" + std::to_string(batch) + ".safetensors"), tensors);
  }

  fixtures::TestFolder folder_;
  std::string python_;
};

ModelConfig clip_like() {
  ModelConfig config;
  config.embed_dim = 24;
  config.vision = {.image_size = 48, .patch_size = 8, .width = 32, .layers = 2, .head_width = 16};
  config.text = {.context_length = 9, .vocab_size = 40, .width = 48, .heads = 4, .layers = 2};
  return config;
}

ModelConfig siglip_like() {
  auto config = clip_like();
  config.embed_dim = 32;
  config.custom_text = true;
  config.init_logit_bias = -10;
  auto& vision = config.vision;
  vision.class_token = false;
  vision.patch_bias = true;
  vision.ln_pre = false;
  vision.pool = ImagePool::kAttention;
  vision.projection = false;
  vision.gelu_tanh = true;
  vision.layer_norm_eps = 1e-6;
  auto& text = config.text;
  text.pool = TextPool::kLast;
  text.causal = false;
  text.projection_bias = true;
  text.gelu_tanh = true;
  text.layer_norm_eps = 1e-6;
  return config;
}

TEST_F(OnnxParity, ClipWithGelu) { compare(clip_like()); }

TEST_F(OnnxParity, ClipWithQuickGeluAndPoolAll) {
  auto config = clip_like();
  config.quick_gelu = true;
  config.text.eos_id = 2;
  config.cloc.pool = Pool::kAll;
  config.cloc.quality_head = true;
  compare(config);
}

TEST_F(OnnxParity, SigLip) { compare(siglip_like()); }

TEST_F(OnnxParity, PoolAllAtAnotherImageSize) {
  auto config = clip_like();
  config.cloc.pool = Pool::kAll;
  config.cloc.encoding_grid = 4;  // trained on 4 x 4 patches, now 6 x 6
  config.cloc.joint_box_token = false;
  config.vision.pool = ImagePool::kAverage;
  compare(config);
}

TEST_F(OnnxParity, PromptsWithoutPlacesAndPooledByTheLargest) {
  auto config = clip_like();
  config.cloc.position_image_tokens = false;
  config.vision.pool = ImagePool::kMax;
  config.vision.ln_post_after_pool = true;
  config.text.pool = TextPool::kFirst;
  config.text.causal = false;
  compare(config);
}

TEST_F(OnnxParity, RoiAlignWithQuality) {
  auto config = clip_like();
  config.cloc.region_extractor = RegionExtractor::kRoiAlign;
  config.cloc.quality_head = true;
  compare(config);
}

TEST_F(OnnxParity, IntegratedBoxesReadFromSeveralLayers) {
  auto config = clip_like();
  config.cloc.box_encoding = BoxEncoding::kIntegrated;
  config.cloc.several_layers = true;
  compare(config);
}

TEST_F(OnnxParity, WeightsInASecondFile) { compare(clip_like(), 10'000); }

}  // namespace
}  // namespace opencloc

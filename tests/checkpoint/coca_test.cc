// Captioners on disk: open_clip's names and shapes, written out.
#include <filesystem>
#include <functional>
#include <map>
#include <sstream>

#include <gmock/gmock.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/checkpoint/model_directory.h"
#include "tests/model/small_coca.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::random_coca;
using ::testing::HasSubstr;

// open_clip's CoCa(embed_dim 16, vision width 24, 1 layer, 5 queries; text width 16, 8 places, 20
// ids; one layer each), as its state_dict() lists it.
constexpr const char* kTensors = R"(
logit_scale
text.cls_emb 16
text.ln_final.bias 16
text.ln_final.weight 16
text.positional_embedding 9 16
text.text_projection 16 16
text.token_embedding.weight 20 16
text.transformer.resblocks.0.attn.in_proj_bias 48
text.transformer.resblocks.0.attn.in_proj_weight 48 16
text.transformer.resblocks.0.attn.out_proj.bias 16
text.transformer.resblocks.0.attn.out_proj.weight 16 16
text.transformer.resblocks.0.ln_1.bias 16
text.transformer.resblocks.0.ln_1.weight 16
text.transformer.resblocks.0.ln_2.bias 16
text.transformer.resblocks.0.ln_2.weight 16
text.transformer.resblocks.0.mlp.c_fc.bias 64
text.transformer.resblocks.0.mlp.c_fc.weight 64 16
text.transformer.resblocks.0.mlp.c_proj.bias 16
text.transformer.resblocks.0.mlp.c_proj.weight 16 64
text_decoder.cross_attn.0.attn.in_proj_bias 48
text_decoder.cross_attn.0.attn.in_proj_weight 48 16
text_decoder.cross_attn.0.attn.out_proj.bias 16
text_decoder.cross_attn.0.attn.out_proj.weight 16 16
text_decoder.cross_attn.0.ln_1.bias 16
text_decoder.cross_attn.0.ln_1.weight 16
text_decoder.cross_attn.0.ln_1_kv.bias 16
text_decoder.cross_attn.0.ln_1_kv.weight 16
text_decoder.cross_attn.0.ln_2.bias 16
text_decoder.cross_attn.0.ln_2.weight 16
text_decoder.cross_attn.0.mlp.c_fc.bias 64
text_decoder.cross_attn.0.mlp.c_fc.weight 64 16
text_decoder.cross_attn.0.mlp.c_proj.bias 16
text_decoder.cross_attn.0.mlp.c_proj.weight 16 64
text_decoder.ln_final.bias 16
text_decoder.ln_final.weight 16
text_decoder.resblocks.0.attn.in_proj_bias 48
text_decoder.resblocks.0.attn.in_proj_weight 48 16
text_decoder.resblocks.0.attn.out_proj.bias 16
text_decoder.resblocks.0.attn.out_proj.weight 16 16
text_decoder.resblocks.0.ln_1.bias 16
text_decoder.resblocks.0.ln_1.weight 16
text_decoder.resblocks.0.ln_2.bias 16
text_decoder.resblocks.0.ln_2.weight 16
text_decoder.resblocks.0.mlp.c_fc.bias 64
text_decoder.resblocks.0.mlp.c_fc.weight 64 16
text_decoder.resblocks.0.mlp.c_proj.bias 16
text_decoder.resblocks.0.mlp.c_proj.weight 16 64
text_decoder.text_projection 16 20
visual.attn_pool.attn.in_proj_bias 48
visual.attn_pool.attn.k_proj_weight 16 24
visual.attn_pool.attn.out_proj.bias 16
visual.attn_pool.attn.out_proj.weight 16 16
visual.attn_pool.attn.q_proj_weight 16 16
visual.attn_pool.attn.v_proj_weight 16 24
visual.attn_pool.ln_k.bias 24
visual.attn_pool.ln_k.weight 24
visual.attn_pool.ln_q.bias 16
visual.attn_pool.ln_q.weight 16
visual.attn_pool.query 5 16
visual.class_embedding 24
visual.conv1.weight 24 3 8 8
visual.ln_post.bias 16
visual.ln_post.weight 16
visual.ln_pre.bias 24
visual.ln_pre.weight 24
visual.positional_embedding 17 24
visual.proj 16 16
visual.transformer.resblocks.0.attn.in_proj_bias 72
visual.transformer.resblocks.0.attn.in_proj_weight 72 24
visual.transformer.resblocks.0.attn.out_proj.bias 24
visual.transformer.resblocks.0.attn.out_proj.weight 24 24
visual.transformer.resblocks.0.ln_1.bias 24
visual.transformer.resblocks.0.ln_1.weight 24
visual.transformer.resblocks.0.ln_2.bias 24
visual.transformer.resblocks.0.ln_2.weight 24
visual.transformer.resblocks.0.mlp.c_fc.bias 96
visual.transformer.resblocks.0.mlp.c_fc.weight 96 24
visual.transformer.resblocks.0.mlp.c_proj.bias 24
visual.transformer.resblocks.0.mlp.c_proj.weight 24 96
)";

using Shapes = std::map<std::string, std::vector<int64_t>>;

Shapes expected_shapes() {
  Shapes shapes;
  std::istringstream lines(kTensors);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string name;
    if (!(words >> name)) continue;
    for (int64_t size = 0; words >> size;) shapes[name].push_back(size);
    shapes[name];
  }
  return shapes;
}

class CocaDirectory : public ::testing::Test {
 protected:
  CocaDirectory()
      : folder_(fs::path(::testing::TempDir()) / ("opencloc_coca_" + std::to_string(::getpid()))),
        model_(random_coca()) {
    SaveOptions options;
    options.region_heads = false;
    save_model(folder_ / "model", model_, options);
  }
  ~CocaDirectory() override { fs::remove_all(folder_); }
  fs::path weights() const { return folder_ / "model" / "open_clip_model.safetensors"; }
  NamedTensors stored() const {
    NamedTensors tensors;
    const SafetensorsFile file(weights());
    for (const auto& info : file.tensors())
      tensors.emplace_back(info.name, file.tensor(info).clone());
    return tensors;
  }
  std::string error_of(const std::function<void()>& body) {
    try {
      body();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
  const fs::path folder_;
  Cloc model_;
};

TEST_F(CocaDirectory, HasOpenClipsNamesAndShapes) {
  Shapes found;
  for (const auto& [name, tensor] : stored()) found[name] = tensor.sizes().vec();
  EXPECT_EQ(found, expected_shapes());
}

TEST_F(CocaDirectory, IsReadBackAsItWas) {
  auto loaded = load_model(folder_ / "model");
  EXPECT_FALSE(loaded.has_region_heads);
  ASSERT_TRUE(loaded.model->text_decoder);
  const auto before = model_->clip_weights(), after = loaded.model->clip_weights();
  ASSERT_EQ(before.size(), expected_shapes().size());
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(before[i].first, after[i].first);
    EXPECT_TRUE(torch::equal(before[i].second, after[i].second)) << before[i].first;
  }
}

TEST_F(CocaDirectory, MasksOfOlderFilesAreReadPast) {
  auto tensors = stored();
  tensors.emplace_back("text.attn_mask", torch::zeros({9, 9}));
  tensors.emplace_back("text_decoder.attn_mask", torch::zeros({8, 8}));
  write_safetensors(weights(), tensors);
  EXPECT_NO_THROW(load_model(folder_ / "model"));
}

TEST_F(CocaDirectory, MissingTensorsAreNamedAndOtherLayoutsRefused) {
  auto tensors = stored();
  std::erase_if(tensors, [](const auto& tensor) {
    return tensor.first == "text_decoder.cross_attn.0.ln_1_kv.bias";
  });
  write_safetensors(weights(), tensors);
  EXPECT_THAT(error_of([&] { load_model(folder_ / "model"); }),
              HasSubstr("1 missing: text_decoder.cross_attn.0.ln_1_kv.bias"));
  for (const auto layout : {Layout::kHuggingFace, Layout::kOpenAi}) {
    SaveOptions options;
    options.layout = layout;
    EXPECT_THAT(error_of([&] { save_model(folder_ / "other", model_, options); }),
                HasSubstr("use the open_clip layout"));
    EXPECT_FALSE(fs::exists(folder_ / "other"));
  }
}

}  // namespace
}  // namespace opencloc

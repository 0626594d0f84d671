// Models with 8-bit weights, in memory and on disk.
#include "opencloc/model/quantized.h"

#include <gmock/gmock.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/model/clip/resize.h"
#include "tests/checkpoint/rewrite.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr const char* kWeights = "open_clip_model.safetensors";
constexpr const char* kFirst = "visual.transformer.resblocks.0.mlp.c_fc.weight";

class QuantizedModel : public ::testing::Test {
 protected:
  void SetUp() override {
    torch::manual_seed(1);
    folder_ = fs::path(::testing::TempDir()) / ("opencloc_quantized_" + std::to_string(::getpid()));
  }
  void TearDown() override { fs::remove_all(folder_); }

  static Cloc tiny(bool custom_text = false) {
    auto config = load_model_config("ViT-Test");
    config.custom_text = custom_text;
    return Cloc(config);
  }
  std::string error_of(const std::function<void()>& work) const {
    try {
      work();
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), 2);
      return error.what();
    }
    return "no error";
  }
  std::string error_of_loading() const {
    return error_of([&] { load_model(folder_); });
  }
  void save_quantized() const {
    auto model = tiny();
    quantize_towers(model);
    save_model(folder_, model, {});
  }
  fs::path folder_;
};

struct Embedded {
  torch::Tensor image, text, hidden;
};
Embedded embed(Cloc& model) {
  const auto& config = model->config();
  const int64_t side = config.vision.image_size;
  const auto pixels =
      torch::cos(torch::arange(2 * 3 * side * side, torch::kFloat) * 0.37).view({2, 3, side, side});
  const auto ids = torch::arange(2 * 8, torch::kLong).view({2, 8}).remainder(40) + 1;
  auto features = model->encode_image(pixels);
  return {normalized(features.embedding), normalized(model->encode_text(ids)), features.tokens};
}
double worst_cosine(const torch::Tensor& a, const torch::Tensor& b) {
  return (a * b).sum(-1).min().item<double>();
}

TEST_F(QuantizedModel, StaysCloseToWhatItWas) {
  auto model = tiny();
  const auto before = embed(model);
  EXPECT_FALSE(is_quantized(model));
  quantize_towers(model);
  EXPECT_TRUE(is_quantized(model));
  const auto after = embed(model);  // with gradients on: nothing asks for them
  EXPECT_FALSE(after.image.requires_grad());
  EXPECT_GT(worst_cosine(before.image.detach(), after.image), 0.995);
  EXPECT_GT(worst_cosine(before.text.detach(), after.text), 0.995);
  EXPECT_FALSE(torch::equal(before.image, after.image));
  quantize_towers(model);  // again: as it is
  EXPECT_TRUE(torch::equal(embed(model).image, after.image));
}

TEST_F(QuantizedModel, ComesBackFromDiskToTheBit) {
  for (const bool custom_text : {false, true}) {
    auto model = tiny(custom_text);
    quantize_towers(model);
    save_model(folder_, model, {});
    auto loaded = load_model(folder_);
    ASSERT_TRUE(is_quantized(loaded.model));
    const auto wanted = embed(model), got = embed(loaded.model);
    EXPECT_TRUE(torch::equal(got.image, wanted.image));
    EXPECT_TRUE(torch::equal(got.text, wanted.text));
    save_model(folder_ / "again", loaded.model, {});
    EXPECT_EQ(read_file(folder_ / "again" / kWeights), read_file(folder_ / kWeights));
  }
}

TEST_F(QuantizedModel, FilesSayWhatTheyAre) {
  save_quantized();
  const SafetensorsFile file(folder_ / kWeights);
  ASSERT_NE(file.find(kFirst), nullptr);
  EXPECT_EQ(file.find(kFirst)->type, TensorType::kI8);
  const auto* scale = file.find(std::string(kFirst) + "_scale");
  ASSERT_NE(scale, nullptr);
  EXPECT_EQ(scale->type, TensorType::kF32);
  EXPECT_EQ(scale->shape.size(), 1u);
  const std::string config = read_file(folder_ / "cloc_config.json");
  EXPECT_THAT(config, HasSubstr("\"quantization\": \"int8\""));
  EXPECT_THAT(config, HasSubstr("\"format_version\": 4"));
  save_model(folder_, tiny(), {});
  const std::string plain = read_file(folder_ / "cloc_config.json");
  EXPECT_THAT(plain, HasSubstr("\"format_version\": 3"));  // older programs go on reading it
  EXPECT_THAT(plain, ::testing::Not(HasSubstr("quantization")));
}

TEST_F(QuantizedModel, OtherLayoutsAndTypesRefuseIt) {
  auto model = tiny();
  quantize_towers(model);
  const auto refused = [&](const SaveOptions& options) {
    return error_of([&] { save_model(folder_, model, options); });
  };
  for (const Layout layout : {Layout::kHuggingFace, Layout::kGguf, Layout::kOpenAi}) {
    SaveOptions options;
    options.layout = layout;
    EXPECT_THAT(refused(options), HasSubstr("own layout"));
  }
  SaveOptions options;
  options.region_config = false;
  EXPECT_THAT(refused(options), HasSubstr("own layout"));
  options = {};
  options.dtype = Dtype::kF16;
  EXPECT_THAT(refused(options), HasSubstr("setting 'dtype'"));
  EXPECT_FALSE(fs::exists(folder_));
}

TEST_F(QuantizedModel, DamagedDirectoriesAreRefused) {
  save_quantized();
  const std::string scale = std::string(kFirst) + "_scale";
  const auto change = [&](const std::string& name,
                          const std::function<void(torch::Tensor&)>& what) {
    save_quantized();
    fixtures::rewrite(folder_ / kWeights, [&](NamedTensors& tensors) {
      for (auto& [key, tensor] : tensors) {
        if (key == name) what(tensor);
      }
    });
    return error_of_loading();
  };
  EXPECT_THAT(change(scale, [](torch::Tensor& t) { t[1] = -1.0f; }), HasSubstr(scale));
  EXPECT_THAT(change(scale, [](torch::Tensor& t) { t[0] = std::nanf(""); }), HasSubstr("scale"));
  EXPECT_THAT(change(scale, [](torch::Tensor& t) { t = t.slice(0, 1).clone(); }),
              HasSubstr("of another shape"));
  EXPECT_THAT(change(scale, [](torch::Tensor& t) { t = t.to(torch::kInt); }),
              HasSubstr("not floating point"));
  EXPECT_THAT(change(kFirst, [](torch::Tensor& t) { t = t.to(torch::kFloat); }),
              HasSubstr("not of 8 bits"));
  save_quantized();
  fixtures::rewrite(folder_ / kWeights, [&](NamedTensors& tensors) {
    std::erase_if(tensors, [&](const auto& tensor) { return tensor.first == scale; });
  });
  EXPECT_THAT(error_of_loading(), HasSubstr("missing: " + scale));

  save_quantized();
  fs::remove(folder_ / "cloc_config.json");  // the mark
  EXPECT_THAT(error_of_loading(), HasSubstr("not floating point"));
  save_quantized();
  std::string config = read_file(folder_ / "cloc_config.json");
  config.replace(config.find("int8"), 4, "int3");
  write_file(folder_ / "cloc_config.json", config);
  EXPECT_THAT(error_of_loading(), HasSubstr("unknown quantization \"int3\""));
}

TEST_F(QuantizedModel, AWeightThatIsNoNumberIsNamed) {
  auto model = tiny();
  {
    const torch::NoGradGuard no_grad;
    model->text->named_parameters()["transformer.resblocks.0.attn.in_proj_weight"][1][2] =
        std::nanf("");
  }
  EXPECT_THAT(error_of([&] { quantize_towers(model); }),
              HasSubstr("transformer.resblocks.0.attn.in_proj_weight"));
}

TEST_F(QuantizedModel, TakesAnotherImageSize) {
  auto model = tiny();
  const int64_t size = 2 * model->config().vision.image_size;
  auto wanted = with_image_size(model, size);
  const auto before = embed(wanted);
  quantize_towers(model);
  auto resized = with_image_size(model, size);
  EXPECT_TRUE(is_quantized(resized));
  EXPECT_GT(worst_cosine(embed(resized).image, before.image.detach()), 0.995);
}

// One place at a time, as captioners write.
TEST_F(QuantizedModel, StepsAsItRuns) {
  auto model = tiny();
  quantize_towers(model);
  const auto ids = torch::arange(8, torch::kLong).view({1, 8}) + 3;
  const auto whole = model->text->encode(ids).tokens;  // [1, T, D]
  std::vector<torch::Tensor> caches;
  for (int64_t place = 0; place < 8; ++place) {
    const auto step = model->text->step(ids.select(1, place), place, caches);  // [1, 1, D]
    EXPECT_LE((step.select(1, 0) - whole.select(1, place)).abs().max().item<double>(), 0.05);
  }
}

}  // namespace
}  // namespace opencloc

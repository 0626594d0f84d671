// The same numbers as open_clip and transformers, on the reference vectors of parity/ in
// OPENCLOC_TEST_DATA. Skipped, visibly, where these are absent.
#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/base/json.h"
#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/image/image.h"
#include "opencloc/loss/loss.h"
#include "opencloc/model/clip/preprocess.h"
#include "tests/base/temp_folder.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;

fs::path parity_folder() {
  const char* given = std::getenv("OPENCLOC_TEST_DATA");
  return (given != nullptr ? fs::path(given)
                           : fs::path(OPENCLOC_SOURCE_DIR).parent_path() / "shared") /
         "parity";
}

struct Case {
  const char* model;   // folder of the reference vectors
  const char* layout;  // folder within it
};

class Parity : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    folder_ = parity_folder() / GetParam().model;
    if (!fs::exists(folder_))
      GTEST_SKIP() << "no reference vectors in " << folder_ << " (set OPENCLOC_TEST_DATA)";
    expected_ = std::make_unique<SafetensorsFile>(folder_ / "expected.safetensors");
    loaded_ = load_model(folder_ / GetParam().layout);
  }
  torch::Tensor expected(const std::string& name) const { return expected_->tensor(name).clone(); }

  void expect_near(const torch::Tensor& actual, const std::string& name, double tolerance) const {
    const auto wanted = expected(name);
    ASSERT_EQ(actual.sizes(), wanted.sizes()) << name;
    const double distance = (actual - wanted).abs().max().item<double>();
    EXPECT_LE(distance, tolerance) << name;
    RecordProperty(name, std::to_string(distance));
  }

  fs::path folder_;
  std::unique_ptr<SafetensorsFile> expected_;
  LoadedModel loaded_;
};

TEST_P(Parity, EmbeddingsAndPenultimateLayer) {
  const torch::NoGradGuard no_grad;
  auto& model = *loaded_.model;
  const auto features = model.encode_image(expected("pixel_values"), {.hidden_layer = -2});
  const auto text = model.encode_text(expected("input_ids"));
  expect_near(features.embedding, "image_embeds_unnormalized", 1e-5);
  expect_near(text, "text_embeds_unnormalized", 1e-5);
  expect_near(normalized(features.embedding), "image_embeds", 1e-5);
  expect_near(normalized(text), "text_embeds", 1e-5);
  expect_near(features.hidden, "vision_penultimate_hidden", 1e-5);
  const auto logits =
      normalized(features.embedding).mm(normalized(text).t()) * model.logit_scale.exp();
  expect_near(logits, "logits_per_image", 1e-4);
}

// Whatever layout the model goes through.
TEST_P(Parity, EveryRouteGivesTheSameOutputs) {
  const torch::NoGradGuard no_grad;
  const fixtures::TestFolder folder;
  struct Route {
    Layout layout;
    const char* name;
    bool vision_only;
  };
  for (const Route& route :
       {Route{Layout::kOpenClip, "open_clip", false}, Route{Layout::kHuggingFace, "hf", false},
        Route{Layout::kOpenAi, "openai", false},
        Route{Layout::kOpenAi, "openai.safetensors", false}, Route{Layout::kGguf, "gguf", false},
        Route{Layout::kGguf, "clip.gguf", false}, Route{Layout::kHuggingFace, "vision", true},
        Route{Layout::kGguf, "vision.gguf", true}}) {
    SCOPED_TRACE(route.name);
    SaveOptions options;
    options.layout = route.layout;
    options.vision_only = route.vision_only;
    save_model(folder / route.name, loaded_.model, options);
    auto model = load_model(folder / route.name).model;
    const auto features = model->encode_image(expected("pixel_values"), {.hidden_layer = -2});
    expect_near(features.hidden, "vision_penultimate_hidden", 1e-5);
    if (route.vision_only) continue;
    expect_near(features.embedding, "image_embeds_unnormalized", 1e-5);
    const auto text = model->encode_text(expected("input_ids"));
    expect_near(text, "text_embeds_unnormalized", 1e-5);
    const auto logits =
        normalized(features.embedding).mm(normalized(text).t()) * model->logit_scale.exp();
    expect_near(logits, "logits_per_image", 1e-4);
  }
}

TEST_P(Parity, LossAndGradients) {
  auto& model = *loaded_.model;
  const auto pixels = expected("pixel_values");
  const auto ids = expected("input_ids").slice(0, 0, pixels.size(0));  // image i with text i
  const auto loss = clip_loss(normalized(model.encode_image(pixels).embedding),
                              normalized(model.encode_text(ids)), model.logit_scale);
  loss.backward();
  const double wanted_loss = expected("clip_loss").item<double>();
  EXPECT_NEAR(loss.item<double>(), wanted_loss, 1e-4 * std::abs(wanted_loss));

  int compared = 0;
  for (const auto& [name, parameter] : model.clip_weights()) {
    if (expected_->find("grad." + name) == nullptr) continue;
    const auto wanted = expected("grad." + name);
    auto actual = parameter.grad();
    ASSERT_TRUE(actual.defined()) << name;
    if (name == "token_embedding.weight") actual = actual.slice(0, 0, wanted.size(0));
    ASSERT_EQ(actual.sizes(), wanted.sizes()) << name;
    const auto difference = actual - wanted;
    EXPECT_LE(difference.norm().item<double>(), 1e-4 * wanted.norm().item<double>()) << name;
    EXPECT_LE(difference.abs().max().item<double>(), 1e-4 * wanted.abs().max().item<double>())
        << name;
    ++compared;
  }
  EXPECT_EQ(compared, 16);
}

TEST_P(Parity, FromTheImageFiles) {
  const torch::NoGradGuard no_grad;
  const Json inputs = read_json(folder_ / "inputs.json");
  std::vector<torch::Tensor> pictures;
  for (const auto& name : inputs["images"]) {
    const auto image = Image::read(folder_ / "images" / name.get<std::string>());
    pictures.push_back(preprocess(image, loaded_.model->config()).pixels);
  }
  const auto pixels = torch::stack(pictures);  // [B, 3, S, S]
  expect_near(pixels, "pixel_values", 2e-2);
  const auto embeds = normalized(loaded_.model->encode_image(pixels).embedding);
  const auto cosine = (embeds * expected("image_embeds")).sum(1);
  EXPECT_GE(cosine.min().item<double>(), 1 - 1e-3);
}

INSTANTIATE_TEST_SUITE_P(Layouts, Parity,
                         ::testing::Values(Case{"clip-tiny", "open_clip"}, Case{"clip-tiny", "hf"},
                                           Case{"clip-tiny-quickgelu", "hf"}),
                         [](const auto& instance) {
                           std::string name =
                               std::string(instance.param.model) + "_" + instance.param.layout;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace opencloc

#include <numeric>

#include <torch/utils.h>

#include "opencloc/api/impl.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/encode/text_encoder.h"
#include "opencloc/model/clip/preprocess.h"
#include "opencloc/model/device.h"

namespace opencloc {
namespace {

// One row of every feature, with its own storage: a scene must not keep its whole batch alive.
ImageFeatures row_of(const ImageFeatures& features, int64_t row) {
  const auto take = [row](const torch::Tensor& tensor) {
    return tensor.slice(0, row, row + 1).clone();
  };
  ImageFeatures one;
  one.tokens = take(features.tokens);
  if (features.of_layers.defined()) one.of_layers = take(features.of_layers);
  one.embedding = take(features.embedding);
  one.context = features.context.map(take);
  return one;
}

}  // namespace

std::vector<Embedding> to_embeddings(const torch::Tensor& rows) {
  const auto unit = normalized(rows).to(torch::kCPU, torch::kFloat).contiguous();  // [n, E]
  const int64_t width = unit.size(1);
  std::vector<Embedding> embeddings;
  for (const float* row = unit.data_ptr<float>(); row != unit.data_ptr<float>() + unit.numel();
       row += width) {
    embeddings.push_back({{row, row + width}});
  }
  return embeddings;
}

float similarity(const Embedding& a, const Embedding& b) {
  if (a.values.size() != b.values.size()) {
    throw Error::input("embeddings of " + std::to_string(a.values.size()) + " and " +
                           std::to_string(b.values.size()) + " numbers cannot be compared",
                       {}, "take both from the same model");
  }
  return std::inner_product(a.values.begin(), a.values.end(), b.values.begin(), 0.0f);
}

std::string_view version() { return OPENCLOC_VERSION; }

torch::Tensor Model::Impl::encode_texts(const std::vector<std::string>& texts) const {
  constexpr int64_t kTextsAtATime = 64;
  const Run run(*this);
  Cloc cloc = handle();
  return normalized(TextEncoder(cloc, *tokenizer, kTextsAtATime).encode(texts));
}

Model Model::load(const std::filesystem::path& directory, const LoadOptions& options) {
  LoadedModel loaded = load_model(directory);
  if (!loaded.tokenizer) {
    throw Error::input("the model has no tokenizer", directory.string(),
                       "put its tokenizer files into the folder");
  }
  loaded.model->to(parse_device(options.device));
  loaded.model->set_precision(parse_precision(options.precision));
  loaded.model->eval();
  auto impl = std::make_shared<Impl>();
  impl->model = loaded.model;
  impl->tokenizer = loaded.tokenizer;
  impl->region_heads = loaded.has_region_heads;
  impl->threads = options.threads;
  return Model(std::move(impl));
}

Scene Model::encode(const Image& image) const { return encode({&image, 1}).front(); }

std::vector<Scene> Model::encode(std::span<const Image> images) const {
  if (images.empty()) return {};
  const Impl::Run run(*impl_);
  Cloc cloc = impl_->handle();
  std::vector<torch::Tensor> pixels;
  std::vector<CanvasMap> maps;
  for (const Image& image : images) {
    const ModelInput input = preprocess(image, cloc->config());
    pixels.push_back(input.pixels);
    maps.push_back(input.map);
  }
  auto features = cloc->encode_image(
      torch::stack(pixels).to(cloc->logit_scale.device()));  // tokens [B, 1+N, D]
  if (impl_->region_heads) cloc->prepare_prompts(features);
  std::vector<Scene> scenes;
  for (size_t i = 0; i < images.size(); ++i) {
    scenes.push_back(Scene(std::make_shared<Scene::Impl>(
        Scene::Impl{impl_, row_of(features, static_cast<int64_t>(i)), maps[i],
                    images[i].full_width(), images[i].full_height()})));
  }
  return scenes;
}

Embedding Model::encode_text(std::string_view text) const {
  return to_embeddings(impl_->encode_texts({std::string(text)})).front();
}

std::vector<Embedding> Model::encode_text(std::span<const std::string> texts) const {
  if (texts.empty()) return {};
  return to_embeddings(impl_->encode_texts({texts.begin(), texts.end()}));
}

int Model::embedding_width() const { return static_cast<int>(impl_->handle()->config().embed_dim); }

int Model::image_size() const {
  return static_cast<int>(impl_->handle()->config().vision.image_size);
}

bool Model::has_region_heads() const { return impl_->region_heads; }

bool Model::has_quality_head() const {
  return impl_->region_heads && impl_->handle()->quality_head;
}

}  // namespace opencloc

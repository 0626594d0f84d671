#include "opencloc/label/entity_encoder.h"

#include <utility>

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/encode/text_cache.h"
#include "opencloc/model/clip/preprocess.h"

namespace opencloc {
namespace {

class ClipEntityEncoder : public EntityEncoder {
 public:
  ClipEntityEncoder(LoadedModel loaded, std::string name, torch::Device device)
      : loaded_(std::move(loaded)),
        name_(std::move(name)),
        device_(device),
        encoder_(loaded_.model, *loaded_.tokenizer, kBatch),
        texts_(encoder_) {}

  torch::Tensor pictures(const std::vector<const Image*>& pictures) override {
    const torch::NoGradGuard no_grad;
    std::vector<torch::Tensor> parts;
    for (size_t begin = 0; begin < pictures.size(); begin += kBatch) {
      const size_t end = std::min(pictures.size(), begin + kBatch);
      std::vector<torch::Tensor> pixels;
      for (size_t i = begin; i < end; ++i)
        pixels.push_back(preprocess(*pictures[i], loaded_.model->config()).pixels);
      const auto features = loaded_.model->encode_image(torch::stack(pixels).to(device_));
      parts.push_back(normalized(features.embedding).to(torch::kCPU));  // [b, E]
    }
    return finite(parts.empty() ? torch::zeros({0, loaded_.model->config().embed_dim})
                                : torch::cat(parts));
  }

  torch::Tensor texts(const std::vector<std::string>& texts) override {
    const torch::NoGradGuard no_grad;
    return finite(normalized(texts_.embeddings(texts)));
  }

  Json config() const override { return name_; }

 private:
  static constexpr int64_t kBatch = 64;

  torch::Tensor finite(torch::Tensor rows) const {
    if (rows.isfinite().all().item<bool>()) return rows;
    throw Error::failed("the model gives numbers that are not finite", name_,
                        "use an earlier checkpoint of it");
  }

  LoadedModel loaded_;
  const std::string name_;
  const torch::Device device_;
  TextEncoder encoder_;
  TextCache texts_;
};

}  // namespace

std::unique_ptr<EntityEncoder> clip_entity_encoder(const std::filesystem::path& directory,
                                                   const EntityEncoderOptions& options) {
  LoadedModel loaded = load_model(directory);
  if (loaded.vision_only || !loaded.tokenizer) {
    throw Error::input(
        loaded.vision_only ? "the model has no text tower" : "the model has no tokenizer",
        directory.string(), "name a whole CLIP with its tokenizer files");
  }
  loaded.model->to(options.device);
  loaded.model->set_precision(options.precision);
  loaded.model->set_backend(options.backend);
  return std::make_unique<ClipEntityEncoder>(std::move(loaded), directory.string(), options.device);
}

}  // namespace opencloc

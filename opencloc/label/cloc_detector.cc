#include <utility>

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/encode/text_cache.h"
#include "opencloc/label/detector.h"
#include "opencloc/model/clip/preprocess.h"

namespace opencloc {
namespace {

constexpr int64_t kTextsAtATime = 64;

class ClocDetector : public Detector {
 public:
  ClocDetector(LoadedModel loaded, std::string name, torch::Device device)
      : loaded_(std::move(loaded)),
        name_(std::move(name)),
        device_(device),
        encoder_(loaded_.model, *loaded_.tokenizer, kTextsAtATime),
        texts_(encoder_) {}

  std::string kind() const override { return "cloc"; }
  Json config() const override {
    return {{"model", name_}, {"resolution", loaded_.model->config().vision.image_size}};
  }

  std::vector<std::vector<Candidate>> detect(std::span<const DetectorQuery> queries,
                                             float threshold) override {
    const torch::NoGradGuard no_grad;
    auto& model = loaded_.model;
    std::vector<torch::Tensor> pictures;
    std::vector<CanvasMap> maps;
    std::vector<int64_t> image_of;  // of each phrase
    std::vector<std::string> phrases;
    for (size_t i = 0; i < queries.size(); ++i) {
      const ModelInput input = preprocess(*queries[i].image, model->config());
      pictures.push_back(input.pixels);
      maps.push_back(input.map);
      for (const auto& phrase : queries[i].phrases) {
        image_of.push_back(static_cast<int64_t>(i));
        phrases.push_back(phrase);
      }
    }
    auto features = model->encode_image(torch::stack(pictures).to(device_));
    model->prepare_prompts(features);
    const auto image_index = torch::tensor(image_of);                // [R]
    const auto texts = texts_.embeddings(phrases).to(device_);       // [R, E]
    const auto boxes = model->ground(features, texts, image_index);  // [R, 4] of the canvas
    const auto regions =
        model->encode_regions(features, box_prompts(boxes.clamp(0, 1), image_index));     // [R, E]
    const auto cycle = (normalized(regions) * normalized(texts)).sum(1).to(torch::kCPU);  // [R]
    const auto corners = boxes.to(torch::kCPU);
    need_finite_detections(cycle, corners, name_);

    std::vector<std::vector<Candidate>> found(queries.size());
    const auto score = cycle.accessor<float, 1>();
    const auto box = corners.accessor<float, 2>();
    for (int64_t r = 0; r < cycle.size(0); ++r) {
      if (!(score[r] >= threshold)) continue;
      const auto image = static_cast<size_t>(image_of[static_cast<size_t>(r)]);
      const Box picture =
          clip_to_unit(maps[image].to_image({box[r][0], box[r][1], box[r][2], box[r][3]}));
      if (picture.area() > 0)
        found[image].push_back({picture, phrases[static_cast<size_t>(r)], score[r]});
    }
    return found;
  }

 private:
  LoadedModel loaded_;
  const std::string name_;
  const torch::Device device_;
  TextEncoder encoder_;
  TextCache texts_;
};

}  // namespace

std::unique_ptr<Detector> cloc_detector(const std::filesystem::path& directory,
                                        const DetectorOptions& options) {
  LoadedModel loaded = load_model(directory);
  loaded.model->to(options.device);
  loaded.model->set_precision(options.precision);
  loaded.model->set_backend(options.backend);
  if (!loaded.has_region_heads) {
    throw Error::input("the model has no trained region heads (a plain CLIP)", directory.string(),
                       "name a model trained with the setting 'objective=cloc'");
  }
  if (!options.tokenizer.empty()) {
    loaded.tokenizer = load_tokenizer(options.tokenizer);
    check_tokenizer(loaded.model->config().text, *loaded.tokenizer, options.tokenizer.string());
  } else if (!loaded.tokenizer) {
    throw Error::input("the model has no tokenizer", directory.string(),
                       "put its tokenizer files into the folder, or pass the setting 'tokenizer'");
  }
  return std::make_unique<ClocDetector>(std::move(loaded), directory.string(), options.device);
}

}  // namespace opencloc

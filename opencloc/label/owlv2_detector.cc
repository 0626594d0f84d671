#include <algorithm>
#include <utility>

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/checkpoint/layout/owlv2_layout.h"
#include "opencloc/encode/text_cache.h"
#include "opencloc/label/detector.h"
#include "opencloc/model/owlv2/owlv2_input.h"

namespace opencloc {
namespace {

constexpr int64_t kQueriesAtATime = 64;
// `model` outlives the result.
TextTowerUse query_tower_of(Owlv2& model, torch::Device device) {
  const auto& config = model->config();
  return {
      config.text.context_length, config.embed_dim, config.text.padding_is_ignored(),
      [&model, device](const torch::Tensor& ids) { return model->encode_queries(ids.to(device)); }};
}

class Owlv2Detector : public Detector {
 public:
  Owlv2Detector(LoadedOwlv2 loaded, std::string name, torch::Device device)
      : model_(loaded.model),
        name_(std::move(name)),
        device_(device),
        tokenizer_(loaded.tokenizer),
        encoder_(query_tower_of(model_, device), *tokenizer_, kQueriesAtATime),
        queries_(encoder_) {}

  std::string kind() const override { return "owlv2"; }
  Json config() const override {
    return {{"model", name_}, {"resolution", model_->config().vision.image_size}};
  }

  std::vector<std::vector<Candidate>> detect(std::span<const DetectorQuery> queries,
                                             float threshold) override {
    const torch::NoGradGuard no_grad;
    const auto& config = model_->config();
    const Owlv2InputOptions input{config.vision.image_size, config.preprocess.mean,
                                  config.preprocess.std};
    std::vector<torch::Tensor> pictures;
    for (const auto& query : queries) pictures.push_back(owlv2_input(*query.image, input));
    const auto features = model_->encode_image(torch::stack(pictures).to(device_));
    std::vector<std::string> phrases;  // of all pictures, encoded together
    for (const auto& query : queries)
      phrases.insert(phrases.end(), query.phrases.begin(), query.phrases.end());
    const auto rows = queries_.embeddings(phrases).to(device_);  // [Q, E]
    std::vector<std::vector<Candidate>> found;
    int64_t first = 0;
    for (size_t i = 0; i < queries.size(); ++i) {
      const auto count = static_cast<int64_t>(queries[i].phrases.size());
      found.push_back(boxes_of(one_image(features, static_cast<int64_t>(i)), queries[i],
                               rows.slice(0, first, first + count), threshold));
      first += count;
    }
    return found;
  }

 private:
  static Owlv2Features one_image(const Owlv2Features& features, int64_t i) {
    return {features.patches.slice(0, i, i + 1), features.class_embeds.slice(0, i, i + 1),
            features.boxes.slice(0, i, i + 1), features.objectness_logits.slice(0, i, i + 1)};
  }

  // rows [Q, E] of the query's phrases.
  std::vector<Candidate> boxes_of(const Owlv2Features& features, const DetectorQuery& query,
                                  const torch::Tensor& rows, float threshold) {
    const auto logits = model_->class_logits(features, rows)[0];  // [N, Q]
    const auto [best, phrase] = torch::sigmoid(logits).max(1);    // [N], [N]
    const auto scores = best.to(torch::kCPU), phrases = phrase.to(torch::kCPU);
    const auto boxes = features.boxes[0].to(torch::kCPU);  // [N, 4] cx, cy, w, h
    need_finite_detections(scores, boxes, name_);
    const auto score = scores.accessor<float, 1>();
    const auto index = phrases.accessor<int64_t, 1>();
    const auto box = boxes.accessor<float, 2>();
    std::vector<Candidate> candidates;
    for (int64_t n = 0; n < scores.size(0); ++n) {
      if (score[n] < threshold) continue;
      const float w = box[n][2] / 2, h = box[n][3] / 2;
      const Box canvas{box[n][0] - w, box[n][1] - h, box[n][0] + w, box[n][1] + h};
      const Box picture = owlv2_box_to_image(canvas, query.image->width, query.image->height);
      if (picture.area() > 0)
        candidates.push_back({picture, query.phrases[static_cast<size_t>(index[n])], score[n]});
    }
    return candidates;
  }

  Owlv2 model_;
  const std::string name_;
  const torch::Device device_;
  const std::shared_ptr<const Tokenizer> tokenizer_;
  TextEncoder encoder_;
  TextCache queries_;
};

}  // namespace

std::unique_ptr<Detector> owlv2_detector(const std::filesystem::path& directory,
                                         const DetectorOptions& options) {
  LoadedOwlv2 loaded = load_owlv2(directory, options.resolution);
  loaded.model->to(options.device);
  loaded.model->set_precision(options.precision);
  loaded.model->set_backend(options.backend);
  if (!options.tokenizer.empty()) {
    loaded.tokenizer = load_tokenizer(options.tokenizer);
  } else if (!loaded.tokenizer) {
    throw Error::input(
        "the detector has no tokenizer", directory.string(),
        "put CLIP's vocab.json and merges.txt there, or pass the setting 'tokenizer'");
  }
  return std::make_unique<Owlv2Detector>(std::move(loaded), directory.filename().string(),
                                         options.device);
}

}  // namespace opencloc

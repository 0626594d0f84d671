#include <algorithm>
#include <unordered_map>
#include <utility>

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/checkpoint/owlv2_layout.h"
#include "opencloc/model/owlv2_input.h"
#include "opencloc/vesl/detector.h"

namespace opencloc {
namespace {

constexpr int64_t kQueriesAtATime = 64;
constexpr size_t kMostCached = 100'000;  // query embeddings, then the cache begins anew

// Text -> embedding, each distinct text encoded once.
class QueryCache {
 public:
  QueryCache(Owlv2 model, std::shared_ptr<const Tokenizer> tokenizer, torch::Device device)
      : model_(std::move(model)), tokenizer_(std::move(tokenizer)), device_(device) {}

  // Makes the embeddings of all these texts known.
  void encode(std::span<const DetectorQuery> queries) {
    if (rows_.size() > kMostCached) rows_.clear();
    std::vector<std::string> unknown;
    for (const auto& query : queries) {
      for (const auto& phrase : query.phrases) {
        if (rows_.emplace(phrase, torch::Tensor()).second) unknown.push_back(phrase);
      }
    }
    const auto count = static_cast<int64_t>(unknown.size());
    for (int64_t begin = 0; begin < count; begin += kQueriesAtATime)
      encode(unknown, begin, std::min(count, begin + kQueriesAtATime));
  }
  // [Q, E] on the device.
  torch::Tensor rows(const std::vector<std::string>& phrases) const {
    std::vector<torch::Tensor> rows;
    for (const auto& phrase : phrases) rows.push_back(rows_.at(phrase));
    return torch::stack(rows);
  }

 private:
  void encode(const std::vector<std::string>& texts, int64_t begin, int64_t end) {
    const int64_t context = model_->config().text.context_length;
    auto ids = torch::zeros({end - begin, context}, torch::kInt64);  // [n, T]
    for (int64_t i = begin; i < end; ++i) {
      const auto tokens = tokenize(*tokenizer_, texts[static_cast<size_t>(i)], context);
      std::copy(tokens.ids.begin(), tokens.ids.end(), ids[i - begin].data_ptr<int64_t>());
    }
    const auto embeddings = model_->encode_queries(ids.to(device_));  // [n, E]
    for (int64_t i = begin; i < end; ++i)
      rows_[texts[static_cast<size_t>(i)]] = embeddings[i - begin].clone();
  }

  Owlv2 model_;
  const std::shared_ptr<const Tokenizer> tokenizer_;
  const torch::Device device_;
  std::unordered_map<std::string, torch::Tensor> rows_;
};

class Owlv2Detector : public Detector {
 public:
  Owlv2Detector(LoadedOwlv2 loaded, std::string name, torch::Device device)
      : model_(loaded.model),
        name_(std::move(name)),
        device_(device),
        cache_(model_, loaded.tokenizer, device) {
    model_->to(device);
  }

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
    cache_.encode(queries);
    std::vector<std::vector<Candidate>> found;
    for (size_t i = 0; i < queries.size(); ++i) {
      const auto at = static_cast<int64_t>(i);
      found.push_back(boxes_of(one_image(features, at), queries[i], threshold));
    }
    return found;
  }

 private:
  static Owlv2Features one_image(const Owlv2Features& features, int64_t i) {
    return {features.patches.slice(0, i, i + 1), features.class_embeds.slice(0, i, i + 1),
            features.boxes.slice(0, i, i + 1), features.objectness_logits.slice(0, i, i + 1)};
  }

  std::vector<Candidate> boxes_of(const Owlv2Features& features, const DetectorQuery& query,
                                  float threshold) {
    const auto logits = model_->class_logits(features, cache_.rows(query.phrases))[0];  // [N, Q]
    const auto [best, phrase] = torch::sigmoid(logits).max(1);                          // [N], [N]
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
  QueryCache cache_;
};

}  // namespace

std::unique_ptr<Detector> owlv2_detector(const std::filesystem::path& directory,
                                         const DetectorOptions& options) {
  LoadedOwlv2 loaded = load_owlv2(directory, options.resolution);
  if (!options.tokenizer.empty()) {
    loaded.tokenizer = load_tokenizer(options.tokenizer);
  } else if (!loaded.tokenizer) {
    throw Error::input("the detector has no tokenizer", directory.string(),
                       "put CLIP's vocab.json and merges.txt there, or pass --tokenizer");
  }
  return std::make_unique<Owlv2Detector>(std::move(loaded), directory.filename().string(),
                                         options.device);
}

}  // namespace opencloc

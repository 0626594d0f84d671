#include <cmath>
#include <utility>

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/label/detector.h"

namespace opencloc {
namespace {

class DetectStage : public Stage {
 public:
  DetectStage(std::unique_ptr<Detector> detector, float threshold)
      : detector_(std::move(detector)), threshold_(threshold) {}

  std::string name() const override { return "detect"; }
  bool needs_images() const override { return true; }

  Json config() const override {
    Json config = {{"detector", detector_->kind()}};
    config.update(detector_->config());
    config["threshold"] = std::round(threshold_ * 1e4) / 1e4;
    return config;
  }

  void run(std::span<LabelSample> batch) override {
    std::vector<DetectorQuery> queries;
    std::vector<size_t> asked;
    for (size_t i = 0; i < batch.size(); ++i) {
      DetectorQuery query{&batch[i].image, stored_phrases(batch[i])};
      phrases_ += static_cast<int64_t>(query.phrases.size());
      if (query.phrases.empty()) {
        ++without_phrases_;
        store_candidates(batch[i], {});
      } else {
        queries.push_back(std::move(query));
        asked.push_back(i);
      }
      store_provenance(batch[i], name(), config());
    }
    if (queries.empty()) return;
    const auto found = detector_->detect(queries, threshold_);
    for (size_t i = 0; i < asked.size(); ++i) {
      candidates_ += static_cast<int64_t>(found[i].size());
      store_candidates(batch[asked[i]], found[i]);
    }
  }

  Json take_report() override {
    Json report = {{"phrases", std::exchange(phrases_, 0)},
                   {"images_without_phrases", std::exchange(without_phrases_, 0)},
                   {"candidates", std::exchange(candidates_, 0)}};
    return report;
  }

 private:
  const std::unique_ptr<Detector> detector_;
  const float threshold_;
  int64_t phrases_ = 0, without_phrases_ = 0, candidates_ = 0;
};

}  // namespace

void need_finite_detections(const torch::Tensor& scores, const torch::Tensor& boxes,
                            const std::string& model) {
  if (scores.isfinite().all().item<bool>() && boxes.isfinite().all().item<bool>()) return;
  throw Error::failed("the detector gives numbers that are not finite", model,
                      "use an earlier checkpoint of it");
}

std::unique_ptr<Stage> detect_stage(std::unique_ptr<Detector> detector, float threshold) {
  return std::make_unique<DetectStage>(std::move(detector), threshold);
}

}  // namespace opencloc

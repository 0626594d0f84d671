#include "opencloc/label/select.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace opencloc {
namespace {

class SelectStage : public Stage {
 public:
  explicit SelectStage(const SelectStageOptions& options) : options_(options) {}

  std::string name() const override { return "select"; }

  void run(std::span<LabelSample> batch) override {
    for (auto& sample : batch) {
      const auto candidates = stored_candidates(sample);
      const auto kept = select_candidates(candidates, options_.select);
      auto& regions = sample.record.regions;
      std::erase_if(regions, [&](const Region& region) {
        return region.source == options_.source ||
               std::ranges::find(options_.other_sources, region.source) !=
                   options_.other_sources.end() ||
               std::ranges::any_of(candidates, [&](const Candidate& candidate) {
                 return !candidate.source.empty() && candidate.source == region.source;
               });
      });
      for (const auto& candidate : kept) {
        Region region;
        region.box = candidate.box;
        region.text = candidate.text;
        region.score = candidate.score;
        region.source = candidate.source.empty() ? options_.source : candidate.source;
        regions.push_back(std::move(region));
      }
      if (!options_.keep_candidates) sample.record.extra.erase(kCandidatesKey);
      store_provenance(sample, name(), config());
      candidates_ += static_cast<int64_t>(candidates.size());
      regions_ += static_cast<int64_t>(kept.size());
      with_regions_ += kept.empty() ? 0 : 1;
    }
  }

  Json config() const override {
    return {{"threshold", std::round(options_.select.threshold * 1e4) / 1e4},
            {"nms_iou", std::round(options_.select.nms_iou * 1e4) / 1e4},
            {"most", options_.select.most},
            {"smallest", std::round(options_.select.smallest * 1e6) / 1e6}};
  }

  Json take_report() override {
    Json report = {{"candidates", std::exchange(candidates_, 0)},
                   {"regions", std::exchange(regions_, 0)},
                   {"images_with_regions", std::exchange(with_regions_, 0)}};
    return report;
  }

 private:
  const SelectStageOptions options_;
  int64_t candidates_ = 0, regions_ = 0, with_regions_ = 0;
};

}  // namespace

std::vector<Candidate> select_candidates(std::vector<Candidate> candidates,
                                         const SelectOptions& options) {
  std::erase_if(candidates, [&](const Candidate& candidate) {
    return !(candidate.score >= options.threshold) || !candidate.box.finite() ||
           !(candidate.box.area() > options.smallest);
  });
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const auto& a, const auto& b) { return a.score > b.score; });
  std::vector<Candidate> kept;
  for (auto& candidate : candidates) {
    if (kept.size() >= options.most) break;
    const bool known = std::any_of(kept.begin(), kept.end(), [&](const Candidate& other) {
      return iou(candidate.box, other.box) > options.nms_iou;
    });
    if (!known) kept.push_back(std::move(candidate));
  }
  return kept;
}

std::unique_ptr<Stage> select_stage(const SelectStageOptions& options) {
  return std::make_unique<SelectStage>(options);
}

}  // namespace opencloc

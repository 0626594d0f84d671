#include "opencloc/label/stage.h"

#include <cmath>
#include <utility>

namespace opencloc {
namespace {

// Four decimals: a hundredth of a pixel on a canvas of a hundred.
double rounded(float value) {
  constexpr double kSteps = 1e5;
  return std::round(static_cast<double>(value) * kSteps) / kSteps;
}

}  // namespace

std::vector<std::string> stored_phrases(const LabelSample& sample) {
  return stored_phrases(sample.record, sample.name);
}

std::vector<Candidate> stored_candidates(const LabelSample& sample) {
  std::vector<Candidate> candidates;
  for (auto& region : stored_candidates(sample.record, sample.name))
    candidates.push_back(
        {region.box, std::move(region.text), region.score, std::move(region.source)});
  return candidates;
}

void store_phrases(LabelSample& sample, const std::vector<std::string>& phrases) {
  sample.record.extra[kPhrasesKey] = phrases;
}

void store_candidates(LabelSample& sample, const std::vector<Candidate>& candidates) {
  Json list = Json::array();
  for (const auto& candidate : candidates) {
    const Box& box = candidate.box;
    list.push_back({{"box", {rounded(box.x0), rounded(box.y0), rounded(box.x1), rounded(box.y1)}},
                    {"text", candidate.text},
                    {"score", rounded(candidate.score)}});
    if (!candidate.source.empty()) list.back()["source"] = candidate.source;
  }
  sample.record.extra[kCandidatesKey] = std::move(list);
}

void store_provenance(LabelSample& sample, const std::string& stage, const Json& how) {
  Json& all = sample.record.extra[kProvenanceKey];
  if (!all.is_object()) all = Json::object();
  all[stage] = how;
}

std::string chosen_text(const LabelSample& sample) { return chosen_text(sample.record).text; }

}  // namespace opencloc

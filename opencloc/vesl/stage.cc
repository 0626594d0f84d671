#include "opencloc/vesl/stage.h"

#include <cmath>

namespace opencloc {
namespace {

constexpr const char* kPhrasesKey = "phrases";
constexpr const char* kProvenanceKey = "vesl";

// Four decimals: a hundredth of a pixel on a canvas of a hundred.
double rounded(float value) {
  constexpr double kSteps = 1e5;
  return std::round(static_cast<double>(value) * kSteps) / kSteps;
}

}  // namespace

std::vector<std::string> stored_phrases(const LabelSample& sample) {
  std::vector<std::string> phrases;
  const auto found = sample.record.extra.find(kPhrasesKey);
  if (found == sample.record.extra.end() || found->is_null()) return phrases;
  if (!found->is_array()) throw BadSample(skip::kBadJson, "'phrases' is not a list", sample.name);
  for (const auto& item : *found) {
    if (!item.is_string()) {
      throw BadSample(skip::kBadJson, "a phrase is not a string", sample.name);
    }
    phrases.push_back(item.get<std::string>());
  }
  return phrases;
}

std::vector<Candidate> stored_candidates(const LabelSample& sample) {
  std::vector<Candidate> candidates;
  const auto found = sample.record.extra.find(kCandidatesKey);
  if (found == sample.record.extra.end() || found->is_null()) return candidates;
  // The same checks as for regions, whose form candidates have.
  Record read;
  parse_record_json(dump_json(Json{{"regions", *found}}), sample.name, read);
  for (auto& region : read.regions)
    candidates.push_back({region.box, std::move(region.text), region.score});
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
  }
  sample.record.extra[kCandidatesKey] = std::move(list);
}

void store_provenance(LabelSample& sample, const std::string& stage, const Json& how) {
  Json& all = sample.record.extra[kProvenanceKey];
  if (!all.is_object()) all = Json::object();
  all[stage] = how;
}

std::string chosen_text(const LabelSample& sample) {
  const Record& record = sample.record;
  if (const auto all = record.extra.find(kProvenanceKey);
      all != record.extra.end() && all->is_object()) {
    const auto how = all->find("caption");
    if (how != all->end() && how->is_object() && how->contains("from") &&
        (*how)["from"].is_string()) {
      const auto from = (*how)["from"].get<std::string>();
      if (from == "alt_text") return record.alt_text;
      if (from == "captions" && how->contains("number") && (*how)["number"].is_number_unsigned()) {
        const auto number = (*how)["number"].get<size_t>();
        if (number < record.captions.size()) return record.captions[number];
      }
    }
  }
  return std::string(image_text(record));
}

}  // namespace opencloc

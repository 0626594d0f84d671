#include "opencloc/data/look/phrase_fates.h"

#include <algorithm>

#include <spdlog/fmt/fmt.h>

#include "opencloc/data/look/label_output.h"

namespace opencloc {
namespace {

// A setting that a stage left in the record, e.g. ("select", "threshold"); null without.
Json setting(const Record& record, const char* stage, const char* key) {
  const auto all = record.extra.find(kProvenanceKey);
  if (all == record.extra.end() || !all->is_object() || !all->contains(stage)) return {};
  const Json& how = (*all)[stage];
  return how.is_object() && how.contains(key) ? how[key] : Json();
}

std::optional<double> number(const Json& value) {
  return value.is_number() ? std::optional(value.get<double>()) : std::nullopt;
}

bool was_asked(const Record& record) {
  const auto all = record.extra.find(kProvenanceKey);
  return all != record.extra.end() && all->is_object() &&
         (all->contains("detect") || all->contains("select"));
}

// Why the selection left out a candidate.
std::string why_not(const Record& record, const Region& candidate) {
  if (const auto least = number(setting(record, "select", "threshold"));
      least && candidate.score < *least) {
    return fmt::format("score {:.2f} under {:.2f}", candidate.score, *least);
  }
  const double most = number(setting(record, "select", "nms_iou")).value_or(1);
  for (const auto& region : record.regions) {
    if (iou(candidate.box, region.box) > most) {
      return fmt::format("score {:.2f}, its box is that of '{}'", candidate.score, region.text);
    }
  }
  return fmt::format("score {:.2f}, too small or over the limit", candidate.score);
}

}  // namespace

std::vector<PhraseFate> phrase_fates(const Record& record) {
  const auto candidates = readable_candidates(record);
  const bool asked = was_asked(record);
  const auto least = number(setting(record, "detect", "threshold"));
  const Json detector = setting(record, "detect", "detector");
  std::vector<PhraseFate> fates;
  for (auto& phrase : readable_phrases(record)) {
    PhraseFate& fate = fates.emplace_back();
    fate.phrase = phrase;
    for (size_t i = 0; i < record.regions.size(); ++i) {
      const Region& region = record.regions[i];
      const bool detected = !detector.is_string() || detector == region.source;
      if (detected && region.text == phrase) fate.regions.push_back(i);
    }
    for (size_t i = 0; i < candidates.size() && fate.regions.empty(); ++i) {
      if (candidates[i].text != phrase) continue;
      if (!fate.candidate || candidates[i].score > candidates[*fate.candidate].score) {
        fate.candidate = i;
      }
    }
    if (!fate.regions.empty()) {
      fate.state = PhraseFate::State::kKept;
    } else if (fate.candidate) {
      fate.state = PhraseFate::State::kDropped;
      fate.why = why_not(record, candidates[*fate.candidate]);
    } else if (asked) {
      fate.state = PhraseFate::State::kDropped;
      fate.why = least ? fmt::format("no box over {:.2f}", *least) : "no box";
    }
  }
  return fates;
}

}  // namespace opencloc

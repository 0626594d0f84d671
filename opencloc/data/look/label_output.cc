#include "opencloc/data/look/label_output.h"

#include <algorithm>
#include <utility>

namespace opencloc {
namespace {

// As the caption stage said; empty when it said nothing that fits the record.
ChosenText said_text(const Record& record) {
  const auto all = record.extra.find(kProvenanceKey);
  if (all == record.extra.end() || !all->is_object()) return {};
  const auto how = all->find("caption");
  if (how == all->end() || !how->is_object()) return {};
  const auto from = how->find("from");
  if (from == how->end()) return {};
  if (*from == "alt_text") return {record.alt_text, "alt_text"};
  if (*from == "captions" && how->contains("number") && (*how)["number"].is_number_unsigned()) {
    const auto number = (*how)["number"].get<size_t>();
    if (number < record.captions.size()) return {record.captions[number], "captions", number};
  }
  return {};
}

}  // namespace

std::vector<std::string> stored_phrases(const Record& record, std::string_view where) {
  std::vector<std::string> phrases;
  const auto found = record.extra.find(kPhrasesKey);
  if (found == record.extra.end() || found->is_null()) return phrases;
  if (!found->is_array()) throw BadSample(skip::kBadJson, "'phrases' is not a list", where);
  for (const auto& item : *found) {
    if (!item.is_string()) throw BadSample(skip::kBadJson, "a phrase is not a string", where);
    phrases.push_back(item.get<std::string>());
  }
  return phrases;
}

std::vector<Region> stored_candidates(const Record& record, std::string_view where) {
  const auto found = record.extra.find(kCandidatesKey);
  if (found == record.extra.end() || found->is_null()) return {};
  // The same checks as for regions, whose form candidates have.
  Record read;
  parse_record_json(dump_json(Json{{"regions", *found}}), where, read);
  if (!read.problems.empty()) {
    throw BadSample(read.problems[0].reason, read.problems[0].detail, where);
  }
  return std::move(read.regions);
}

std::vector<std::string> readable_phrases(const Record& record) {
  try {
    return stored_phrases(record, record.key);
  } catch (const BadSample&) {
    return {};
  }
}

std::vector<Region> readable_candidates(const Record& record) {
  try {
    return stored_candidates(record, record.key);
  } catch (const BadSample&) {
    return {};
  }
}

ChosenText chosen_text(const Record& record) {
  if (ChosenText said = said_text(record); !said.from.empty()) return said;
  if (!record.caption.empty()) return {record.caption, "caption"};
  const auto first = std::find_if(record.captions.begin(), record.captions.end(),
                                  [](const std::string& text) { return !text.empty(); });
  if (first != record.captions.end()) {
    return {*first, "captions", static_cast<size_t>(first - record.captions.begin())};
  }
  return {record.alt_text, record.alt_text.empty() ? "" : "alt_text"};
}

std::filesystem::path label_report_path(const std::filesystem::path& shard) {
  return shard.string() + ".report.json";
}

}  // namespace opencloc

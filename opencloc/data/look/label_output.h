// What the data engine (opencloc/label, which writes it) leaves behind for those who look at
// labelled data. In a record: "phrases", the detector's "candidates" (with --keep-candidates), and
// under "vesl" how each stage was run. Beside a shard: its report.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/data/shard/record.h"

namespace opencloc {

inline constexpr const char* kPhrasesKey = "phrases";
inline constexpr const char* kCandidatesKey = "candidates";
inline constexpr const char* kProvenanceKey = "vesl";

// Of the record; empty when there are none. Throw BadSample, naming `where`, when the record holds
// something else.
std::vector<std::string> stored_phrases(const Record& record, std::string_view where);
std::vector<Region> stored_candidates(const Record& record, std::string_view where);

// The same for those who look: a key of somebody else's that has the name but another form counts
// as none.
std::vector<std::string> readable_phrases(const Record& record);
std::vector<Region> readable_candidates(const Record& record);

// The text phrases are taken from: as the caption stage chose, else image_text().
struct ChosenText {
  std::string text;
  std::string from;   // "caption", "captions" or "alt_text"; empty when the record has no text
  size_t number = 0;  // among the captions
};
ChosenText chosen_text(const Record& record);

// "labelled/00000.tar" -> "labelled/00000.tar.report.json"
std::filesystem::path label_report_path(const std::filesystem::path& shard);

}  // namespace opencloc

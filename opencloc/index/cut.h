// What a search is of, and where its hits end.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/base/json.h"

namespace opencloc {

// Which rows are searched.
enum class SearchUnit { kPicture, kRegion, kBoth };

// What rows are ordered by: the cosine, or the cosine with what the region's quality adds
// (quality.h).
enum class SearchScore { kCosine, kQuality };

// Where hits end in searches of one kind, found with labelled data (calibrate.h). An index keeps
// one for each kind that was measured.
struct CalibratedCut {
  SearchUnit unit = SearchUnit::kRegion;
  SearchScore score = SearchScore::kCosine;
  bool flat = false;  // the limit is a score; else a z of the query's own scores
  double limit = 0;
  bool operator==(const CalibratedCut&) const = default;
};

// [{"unit": "region", "score": "quality", "by": "z", "limit": 5.1}, ...]
Json cuts_json(std::span<const CalibratedCut> cuts);
// Throws Error (input) naming `where` for what is not as above.
std::vector<CalibratedCut> parse_cuts(const Json& json, std::string_view where);
std::optional<CalibratedCut> find_cut(std::span<const CalibratedCut> cuts, SearchUnit unit,
                                      SearchScore score);

// "image", "region", "both": as flags and JSON have it.
const char* to_string(SearchUnit unit);

}  // namespace opencloc

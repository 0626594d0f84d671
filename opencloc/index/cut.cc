#include "opencloc/index/cut.h"

#include <array>
#include <cmath>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

constexpr std::array kUnits = {SearchUnit::kPicture, SearchUnit::kRegion, SearchUnit::kBoth};

const char* name_of(SearchScore score) {
  return score == SearchScore::kQuality ? "quality" : "cosine";
}

[[noreturn]] void no_cut(std::string_view where) {
  throw Error::input("the index holds cut-offs that are none", where,
                     "find them again with 'opencloc index calibrate'");
}

}  // namespace

const char* to_string(SearchUnit unit) {
  if (unit == SearchUnit::kPicture) return "image";
  return unit == SearchUnit::kRegion ? "region" : "both";
}

Json cuts_json(std::span<const CalibratedCut> cuts) {
  Json json = Json::array();
  for (const CalibratedCut& cut : cuts) {
    json.push_back({{"unit", to_string(cut.unit)},
                    {"score", name_of(cut.score)},
                    {"by", cut.flat ? "score" : "z"},
                    {"limit", cut.limit}});
  }
  return json;
}

std::vector<CalibratedCut> parse_cuts(const Json& json, std::string_view where) {
  if (!json.is_array()) no_cut(where);
  std::vector<CalibratedCut> cuts;
  for (const Json& one : json) {
    if (!one.is_object()) no_cut(where);
    const std::string unit = json_string(one, "unit", where, ""),
                      score = json_string(one, "score", where, ""),
                      by = json_string(one, "by", where, "");
    const bool limited = one.contains("limit") && one["limit"].is_number() &&
                         std::isfinite(one["limit"].get<double>());
    CalibratedCut cut;
    bool known = false;
    for (const SearchUnit each : kUnits) {
      if (unit != to_string(each)) continue;
      cut.unit = each;
      known = true;
    }
    known &= score == "quality" || score == "cosine";
    known &= by == "score" || by == "z";
    if (!known || !limited) no_cut(where);
    cut.score = score == "quality" ? SearchScore::kQuality : SearchScore::kCosine;
    cut.flat = by == "score";
    cut.limit = one["limit"].get<double>();
    cuts.push_back(cut);
  }
  return cuts;
}

std::optional<CalibratedCut> find_cut(std::span<const CalibratedCut> cuts, SearchUnit unit,
                                      SearchScore score) {
  for (const CalibratedCut& cut : cuts) {
    if (cut.unit == unit && cut.score == score) return cut;
  }
  return std::nullopt;
}

}  // namespace opencloc

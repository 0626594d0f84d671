// GPR1200 (Schall et al., MMM 2022, arXiv 2111.13122): 12,000 pictures named CLASS_NAME.jpg, ten
// for each of the classes 0 to 1199, which come from six sources, 200 classes each.
#include <array>
#include <charconv>
#include <map>
#include <optional>

#include "opencloc/base/files.h"
#include "opencloc/base/json.h"
#include "opencloc/data/import/import.h"

namespace opencloc {
namespace {

constexpr std::array<std::string_view, 6> kGprDomains = {"landmarks", "iNat",     "sketch",
                                                         "instre",    "products", "faces"};
constexpr int kGprClassesEach = 200;
constexpr int kGprPicturesEach = 10;

// "17" of 17_abc.jpg; nothing where there is no such number.
std::optional<int> gpr_class(const std::string& name) {
  int number = -1;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data(), end, number);
  const bool known = number >= 0 && number < static_cast<int>(kGprDomains.size()) * kGprClassesEach;
  if (error != std::errc() || stop == end || *stop != '_' || !known) return std::nullopt;
  return number;
}

// GPR1200_categoryNumber_to_text.json: {"0": "Eldorado National Forest", ...}.
Json gpr_names(const ImportOptions& options) {
  if (options.annotations.empty()) return Json::object();
  Json names = read_json(options.annotations);
  if (names.is_object()) return names;
  throw Error::input("names of classes are not one JSON object", options.annotations.string(),
                     "give GPR1200_categoryNumber_to_text.json, or nothing");
}

}  // namespace

void import_gpr1200(const ImportOptions& options, ImportList& list, SkipCounter& skips) {
  const Json names = gpr_names(options);
  std::map<int, int> pictures;
  for (const auto& image : list.pictures().all()) {
    const auto number = gpr_class(image.filename().string());
    if (!number) {
      skips.add(skip::kBadAnnotation, image.string(), "not named CLASS_NAME, CLASS from 0 to 1199");
      continue;
    }
    Record& record = list.at(image).record;
    record.label = std::to_string(*number);
    record.extra["group"] = kGprDomains[static_cast<size_t>(*number / kGprClassesEach)];
    const auto text = names.find(*record.label);
    if (text != names.end() && text->is_string()) record.extra["category"] = *text;
    ++pictures[*number];
  }
  // Figures of a part cannot be compared with those of others.
  for (const auto& [number, count] : pictures) {
    if (count == kGprPicturesEach) continue;
    skips.note("a class without its 10 pictures", "class " + std::to_string(number),
               std::to_string(count) + " pictures");
  }
  const int classes = static_cast<int>(kGprDomains.size()) * kGprClassesEach;
  if (!pictures.empty() && static_cast<int>(pictures.size()) < classes) {
    skips.note("not all of GPR1200's 1,200 classes are there", options.images.string(),
               std::to_string(pictures.size()) + " classes");
  }
}

}  // namespace opencloc

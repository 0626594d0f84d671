#include "opencloc/data/shard/grit.h"

#include <algorithm>
#include <cmath>

#include "opencloc/base/text_file.h"

namespace opencloc {
namespace {

// Letters [begin, end) of UTF-8 text, as Python counts them.
std::string letters(std::string_view text, int64_t begin, int64_t end) {
  std::string cut;
  int64_t at = -1;
  for (const char c : text) {
    if ((static_cast<unsigned char>(c) & 0xC0) != 0x80) ++at;
    if (at >= begin && at < end) cut += c;
  }
  return std::string(trimmed(cut));
}

void add_grit_region(const Json& entry, std::string_view caption, Record& record) {
  const bool numbers = entry.is_array() && entry.size() >= 6 &&
                       std::all_of(entry.begin(), entry.end(), [](const Json& v) {
                         return v.is_number() && std::isfinite(v.get<double>());
                       });
  if (!numbers) {
    record.problems.push_back({skip::kBadBox, "a phrase is not [begin, end, x0, y0, x1, y1]"});
    return;
  }
  const auto at = [&](size_t i) { return entry[i].get<float>(); };
  Region region;
  region.box = clip_to_unit({at(2), at(3), at(4), at(5)});
  region.text = letters(caption, entry[0].get<int64_t>(), entry[1].get<int64_t>());
  if (entry.size() > 6) region.score = at(6);
  region.source = "grit";
  if (region.text.empty() || region.box.area() <= 0) {
    record.problems.push_back(
        {region.text.empty() ? skip::kNoText : skip::kEmptyBox, "a phrase of GRIT"});
    return;
  }
  const bool known = std::any_of(
      record.regions.begin(), record.regions.end(),
      [&](const Region& other) { return other.box == region.box && other.text == region.text; });
  if (!known) record.regions.push_back(std::move(region));
}

}  // namespace

void add_grit_regions(Record& record) {
  const std::string caption(image_text(record));
  for (const char* key : {"ref_exps", "noun_chunks"}) {
    const auto list = record.extra.find(key);
    if (list == record.extra.end() || !list->is_array()) continue;
    for (const Json& entry : *list) add_grit_region(entry, caption, record);
  }
}

}  // namespace opencloc

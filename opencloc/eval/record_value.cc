#include "opencloc/eval/record_value.h"

#include <algorithm>

namespace opencloc {
namespace {

std::optional<std::string> quadrant_of(const std::vector<Region>& regions) {
  const auto largest = std::max_element(
      regions.begin(), regions.end(),
      [](const Region& a, const Region& b) { return a.box.area() < b.box.area(); });
  if (largest == regions.end()) return std::nullopt;
  const Box& box = largest->box;
  const bool left = box.x0 + box.x1 < 1, top = box.y0 + box.y1 < 1;
  return std::string(top ? "top " : "bottom ") + (left ? "left" : "right");
}

}  // namespace

std::optional<std::string> record_value(const Record& record, std::string_view key) {
  if (key == "regions") return std::to_string(record.regions.size());
  if (key == "quadrant") return quadrant_of(record.regions);
  if (key == "label" && record.label) return record.label;
  const auto found = record.extra.find(std::string(key));
  if (found == record.extra.end()) return std::nullopt;
  if (found->is_string()) return found->get<std::string>();
  if (found->is_number() || found->is_boolean()) return dump_json(*found);
  return std::nullopt;
}

}  // namespace opencloc

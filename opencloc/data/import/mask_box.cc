#include "opencloc/data/import/mask_box.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

#include "opencloc/data/import/annotations.h"

namespace opencloc {
namespace {

constexpr int64_t kLongestSide = int64_t{1} << 24;

MaskBox no_mask(std::string problem) { return {{}, 0, 0, std::move(problem)}; }

// pycocotools' rleFrString: groups of five bits from the lowest, bit 32 = more follow, bit 16 of
// the last one = the sign; from the fourth run on the difference to the run before the last.
std::optional<std::vector<int64_t>> runs_of_string(std::string_view text) {
  std::vector<int64_t> runs;
  for (size_t at = 0; at < text.size();) {
    uint64_t bits = 0;
    int shift = 0;
    for (bool more = true; more; shift += 5) {
      if (at >= text.size() || shift > 55 || text[at] < '0' || text[at] > 'o') return std::nullopt;
      const auto group = static_cast<uint64_t>(text[at++] - '0');
      bits |= (group & 31) << shift;
      more = (group & 32) != 0;
      if (!more && (group & 16) != 0) bits |= ~uint64_t{0} << (shift + 5);
    }
    int64_t run = static_cast<int64_t>(bits);
    if (runs.size() > 2 && __builtin_add_overflow(run, runs[runs.size() - 2], &run))
      return std::nullopt;
    runs.push_back(run);
  }
  return runs;
}

std::optional<std::vector<int64_t>> runs_of_list(const Json& list) {
  std::vector<int64_t> runs;
  for (const Json& run : list) {
    const auto number = run.is_number() ? json_loose_number(run) : std::nullopt;
    if (!number || *number != std::floor(*number) || std::abs(*number) > 9e15) return std::nullopt;
    runs.push_back(static_cast<int64_t>(*number));
  }
  return runs;
}

// A side of "size"; 0 when it is none.
int64_t side_of(const Json& value) {
  const double side = value.is_number() ? json_loose_number(value).value_or(0) : 0;
  const bool whole = side == std::floor(side) && side >= 1;
  return whole && side <= static_cast<double>(kLongestSide) ? static_cast<int64_t>(side) : 0;
}

MaskBox box_of_runs(const Json& mask) {
  const Json &size = json_value(mask, "size"), &counts = json_value(mask, "counts");
  const bool two = size.is_array() && size.size() == 2;
  const int64_t height = two ? side_of(size[0]) : 0, width = two ? side_of(size[1]) : 0;
  if (height == 0 || width == 0) return no_mask("the mask's 'size' is not [height, width]");
  std::optional<std::vector<int64_t>> runs;
  if (counts.is_string()) runs = runs_of_string(counts.get_ref<const std::string&>());
  if (counts.is_array()) runs = runs_of_list(counts);
  if (!runs) return no_mask("the mask's 'counts' are no run lengths");
  const int64_t cells = height * width;
  int64_t left = width, top = height, right = -1, bottom = -1;
  int64_t at = 0;
  for (size_t i = 0; i < runs->size(); ++i) {
    const int64_t run = (*runs)[i];
    if (run < 0 || run > cells - at)
      return no_mask("the mask's run lengths are more than its size");
    if (i % 2 == 1 && run > 0) {
      const int64_t last = at + run - 1;
      const bool several = last / height > at / height;  // columns
      left = std::min(left, at / height);
      right = std::max(right, last / height);
      top = std::min(top, several ? 0 : at % height);
      bottom = std::max(bottom, several ? height - 1 : last % height);
    }
    at += run;
  }
  if (at != cells) return no_mask("the mask's run lengths are less than its size");
  if (right < 0) return no_mask("the mask is empty");
  return {{static_cast<float>(left), static_cast<float>(top), static_cast<float>(right + 1),
           static_cast<float>(bottom + 1)},
          static_cast<double>(width),
          static_cast<double>(height),
          {}};
}

MaskBox box_of_polygons(const Json& polygons) {
  constexpr float kMost = std::numeric_limits<float>::max();
  Box around{kMost, kMost, -kMost, -kMost};
  for (const Json& polygon : polygons) {
    if (!polygon.is_array() || polygon.size() < 6 || polygon.size() % 2 != 0)
      return no_mask("a polygon is not [x, y, x, y, x, y, ...]");
    for (size_t i = 0; i < polygon.size(); i += 2) {
      if (!polygon[i].is_number() || !polygon[i + 1].is_number())
        return no_mask("a polygon holds something else than numbers");
      const float x = polygon[i].get<float>(), y = polygon[i + 1].get<float>();
      if (!std::isfinite(x) || !std::isfinite(y)) return no_mask("a polygon is not finite");
      around = {std::min(around.x0, x), std::min(around.y0, y), std::max(around.x1, x),
                std::max(around.y1, y)};
    }
  }
  if (polygons.empty()) return no_mask("the mask is empty");
  return {around, 0, 0, {}};
}

}  // namespace

MaskBox box_of_mask(const Json& segmentation) {
  if (segmentation.is_object()) return box_of_runs(segmentation);
  if (segmentation.is_array()) return box_of_polygons(segmentation);
  return no_mask("the mask is neither polygons nor a run-length code");
}

}  // namespace opencloc

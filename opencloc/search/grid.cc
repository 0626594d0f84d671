#include "opencloc/search/grid.h"

#include <algorithm>
#include <numeric>

namespace opencloc {
namespace {

constexpr float kKeptOverlap = 0.5f;  // IoU up to which two boxes are both kept

}  // namespace

std::vector<Box> grid_boxes(const std::vector<int64_t>& levels) {
  std::vector<Box> boxes;
  for (const int64_t n : levels) {
    const float step = 1.0f / static_cast<float>(n + 1);  // half a box
    for (int64_t y = 0; y < n; ++y) {
      for (int64_t x = 0; x < n; ++x) {
        const auto fx = static_cast<float>(x) * step, fy = static_cast<float>(y) * step;
        boxes.push_back({fx, fy, std::min(1.0f, fx + 2 * step), std::min(1.0f, fy + 2 * step)});
      }
    }
  }
  return boxes;
}

std::vector<size_t> best_boxes(const std::vector<Box>& boxes, const std::vector<float>& qualities,
                               size_t keep) {
  std::vector<size_t> order(boxes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return qualities[a] > qualities[b]; });
  std::vector<size_t> kept, rest;
  for (const size_t i : order) {
    const bool apart = std::all_of(kept.begin(), kept.end(), [&](size_t better) {
      return iou(boxes[i], boxes[better]) <= kKeptOverlap;
    });
    (apart ? kept : rest).push_back(i);
  }
  kept.insert(kept.end(), rest.begin(), rest.end());
  kept.resize(std::min(kept.size(), keep));
  std::sort(kept.begin(), kept.end());
  return kept;
}

}  // namespace opencloc

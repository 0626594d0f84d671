#include "opencloc/train/stragglers.h"

#include <algorithm>

#include <spdlog/fmt/fmt.h>

namespace opencloc {
namespace {

constexpr double kLate = 1.5;  // times the median
constexpr int kLines = 10;

}  // namespace

Json Stragglers::add(const std::vector<double>& busy) {
  slowest_ = Json();
  if (busy.empty()) return slowest_;
  const auto most = std::max_element(busy.begin(), busy.end());
  const auto rank = static_cast<int64_t>(most - busy.begin());
  auto sorted = busy;
  std::sort(sorted.begin(), sorted.end());
  const double median = sorted[(sorted.size() - 1) / 2];
  if (median <= 0) {
    late_rank_ = -1;
    return slowest_;
  }
  const double times = *most / median;
  slowest_ = {{"rank", rank}, {"host", hosts_.at(static_cast<size_t>(rank))}};
  slowest_["times_median"] = times;
  if (times <= kLate) {
    late_rank_ = -1;
    lines_ = 0;
  } else {
    lines_ = rank == late_rank_ ? lines_ + 1 : 1;
    late_rank_ = rank;
  }
  return slowest_;
}

std::optional<std::string> Stragglers::warning() const {
  if (late_rank_ < 0 || lines_ != kLines) return std::nullopt;
  return fmt::format(
      "rank {} ({}) has held the others up for {} log lines: it takes {:.1f} times as long as the "
      "median; look for other work, a slow disk or a slow network there",
      late_rank_, hosts_.at(static_cast<size_t>(late_rank_)), kLines,
      slowest_["times_median"].get<double>());
}

}  // namespace opencloc

#include "opencloc/data/shard/skips.h"

#include "opencloc/base/log.h"

namespace opencloc {
namespace {

constexpr int64_t kNamesKept = 3;

// What is kept of one case: of a missing picture its name alone, else what was wrong as well.
std::string name_of_case(std::string_view reason, std::string_view name, std::string_view detail) {
  const bool bare = detail.empty() || reason == skip::kMissingImage;
  return std::string(name) + (bare ? "" : ": " + std::string(detail));
}

}  // namespace

int64_t SkipCounter::count_one(std::map<std::string, int64_t>& counts, std::string_view reason,
                               std::string_view name) {
  const std::lock_guard lock(mutex_);
  const int64_t seen = ++counts[std::string(reason)];
  if (seen <= kNamesKept) names_[std::string(reason)].emplace_back(name);
  return seen;
}

void SkipCounter::add(std::string_view reason, std::string_view name, std::string_view detail) {
  const int64_t seen = count_one(counts_, reason, name_of_case(reason, name, detail));
  if (seen > names_logged_) return;
  log::warn("skipped {}: {}{}{}", name, reason, detail.empty() ? "" : ": ", detail);
  if (seen == names_logged_) log::warn("further cases of '{}' are counted only", reason);
}

void SkipCounter::add(const BadSample& bad) {
  const int64_t seen = count_one(counts_, bad.reason(), bad.what());
  if (seen > names_logged_) return;
  log::warn("skipped: {}", bad.what());
  if (seen == names_logged_) log::warn("further cases of '{}' are counted only", bad.reason());
}

void SkipCounter::note(std::string_view doubt, std::string_view name, std::string_view detail) {
  const int64_t seen = count_one(notes_, doubt, name_of_case(doubt, name, detail));
  if (seen > names_logged_) return;
  log::warn("{}: {}{}{}", name, doubt, detail.empty() ? "" : ": ", detail);
  if (seen == names_logged_) log::warn("further cases of '{}' are counted only", doubt);
}

std::vector<std::string> SkipCounter::first_names(std::string_view reason) const {
  const std::lock_guard lock(mutex_);
  const auto it = names_.find(reason);
  return it == names_.end() ? std::vector<std::string>() : it->second;
}

std::map<std::string, int64_t> SkipCounter::notes() const {
  const std::lock_guard lock(mutex_);
  return notes_;
}

int64_t SkipCounter::total() const {
  const std::lock_guard lock(mutex_);
  int64_t sum = 0;
  for (const auto& [reason, count] : counts_) sum += count;
  return sum;
}

int64_t SkipCounter::count(std::string_view reason) const {
  const std::lock_guard lock(mutex_);
  const auto it = counts_.find(std::string(reason));
  return it == counts_.end() ? 0 : it->second;
}

std::map<std::string, int64_t> SkipCounter::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

Json SkipCounter::json() const {
  Json result = Json::object();
  for (const auto& [reason, count] : counts()) result[reason] = count;
  return result;
}

std::string SkipCounter::summary() const {
  std::string list;
  int64_t sum = 0;
  for (const auto& [reason, count] : counts()) {
    list += (list.empty() ? "" : ", ") + std::to_string(count) + " " + reason;
    sum += count;
  }
  return sum == 0 ? "" : std::to_string(sum) + " skipped (" + list + ")";
}

}  // namespace opencloc

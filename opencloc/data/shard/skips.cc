#include "opencloc/data/shard/skips.h"

#include <utility>

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

void SkipCounter::add(SkipCase one) {
  int64_t seen = 0;
  {
    const std::lock_guard lock(mutex_);
    if (holds_) {
      held_.push_back(std::move(one));
      return;
    }
    seen = ++(one.doubt ? notes_ : counts_)[one.reason];
    if (seen <= kNamesKept) names_[one.reason].push_back(std::move(one.name));
  }
  if (seen > names_logged_) return;
  log::warn("{}", one.line);
  if (seen == names_logged_) log::warn("further cases of '{}' are counted only", one.reason);
}

void SkipCounter::add(std::string_view reason, std::string_view name, std::string_view detail) {
  add({false, std::string(reason), name_of_case(reason, name, detail),
       fmt::format("skipped {}: {}{}{}", name, reason, detail.empty() ? "" : ": ", detail)});
}

void SkipCounter::add(const BadSample& bad) {
  add({false, bad.reason(), bad.what(), fmt::format("skipped: {}", bad.what())});
}

void SkipCounter::note(std::string_view doubt, std::string_view name, std::string_view detail) {
  add({true, std::string(doubt), name_of_case(doubt, name, detail),
       fmt::format("{}: {}{}{}", name, doubt, detail.empty() ? "" : ": ", detail)});
}

void SkipCounter::hold() {
  const std::lock_guard lock(mutex_);
  holds_ = true;
}

std::vector<SkipCase> SkipCounter::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(held_, {});
}

void SkipCounter::add_counts(const std::map<std::string, int64_t>& counts) {
  const std::lock_guard lock(mutex_);
  for (const auto& [reason, count] : counts) counts_[reason] += count;
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

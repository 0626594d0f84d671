#include "opencloc/dialogue/vocabulary.h"

#include <algorithm>
#include <utility>

#include "opencloc/base/text_file.h"
#include "opencloc/dialogue/words.h"

namespace opencloc {
namespace {

std::string text_of(const Region& region, const char* key) {
  const auto found = region.extra.find(key);
  const bool has = found != region.extra.end() && found->is_string();
  return std::string(trimmed(has ? found->get_ref<const std::string&>() : region.text));
}

}  // namespace

std::string region_name(const Region& region) { return text_of(region, "name"); }
std::string region_phrase(const Region& region) { return text_of(region, "phrase"); }

void Vocabulary::add(const Record& record) {
  std::vector<std::string> names;
  for (const Region& region : record.regions) {
    std::string name = region_name(region);
    if (name.empty() || std::ranges::find(names, name) != names.end()) continue;
    auto& [count, group] = counts_[name];
    ++count;
    const auto found = region.extra.find("group");
    if (found != region.extra.end() && found->is_string()) group = found->get<std::string>();
    names.push_back(std::move(name));
  }
  if (pictures_.size() < kPictures) pictures_.push_back(std::move(names));
}

void Vocabulary::finish() {
  std::vector<std::pair<int64_t, std::string>> order;
  for (const auto& [name, known] : counts_) order.emplace_back(-known.first, name);
  std::ranges::sort(order);
  for (auto& [count, name] : order) {
    numbers_[name] = names_.size();
    stems_.push_back(stems_of(name));
    groups_.push_back(counts_[name].second);
    members_[groups_.back()].push_back(names_.size());
    names_.push_back(std::move(name));
  }
  together_.resize(names_.size());
  for (const auto& picture : pictures_) {
    for (const std::string& a : picture) {
      for (const std::string& b : picture)
        if (a != b) ++together_[numbers_.at(a)][numbers_.at(b)];
    }
  }
  counts_.clear();
  pictures_.clear();
}

const std::vector<size_t>& Vocabulary::group(size_t name) const {
  static const std::vector<size_t> kNone;
  return groups_[name].empty() ? kNone : members_.at(groups_[name]);
}

int64_t Vocabulary::find(std::string_view name) const {
  const auto found = numbers_.find(name);
  return found == numbers_.end() ? -1 : static_cast<int64_t>(found->second);
}

Vocabulary collect_vocabulary(const std::vector<std::string>& shards, const ShardOptions& options) {
  Vocabulary vocabulary;
  SkipCounter counted_later(0);
  for (const std::string& path : shards) {
    ShardReader reader(path, counted_later, options);
    for (Record record; reader.next(record);) vocabulary.add(record);
  }
  vocabulary.finish();
  return vocabulary;
}

}  // namespace opencloc

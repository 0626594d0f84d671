// The names that a data set knows, and how often: what a question can offer beside the truth.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "opencloc/data/shard/record.h"
#include "opencloc/data/shard/shard_reader.h"

namespace opencloc {

// What a region is called: "name" of its JSON, as generated scenes have it, else its text.
std::string region_name(const Region& region);
// How it is told apart: "phrase" of its JSON, else its text.
std::string region_phrase(const Region& region);

// Filled by add(), then finish()ed; from then on read-only and thread-safe.
class Vocabulary {
 public:
  void add(const Record& record);
  void finish();

  size_t size() const { return names_.size(); }
  // The most frequent first (in pictures), equal ones by the alphabet.
  const std::vector<std::string>& names() const { return names_; }
  const std::vector<std::string>& stems(size_t name) const { return stems_[name]; }
  // Names that share pictures with this one, of the first kPictures, and how many; by number.
  const std::map<size_t, int64_t>& together(size_t name) const { return together_[name]; }
  // Names whose regions have the same "group" as this one's, itself included; none without a group.
  const std::vector<size_t>& group(size_t name) const;
  // Number of a name; -1 for one that was not added.
  int64_t find(std::string_view name) const;

  static constexpr size_t kPictures = 10'000;

 private:
  std::map<std::string, std::pair<int64_t, std::string>, std::less<>> counts_;  // count, group
  std::vector<std::vector<std::string>> pictures_;  // distinct names of each
  std::vector<std::string> names_;
  std::vector<std::vector<std::string>> stems_;
  std::vector<std::string> groups_;  // by name
  std::map<std::string, std::vector<size_t>> members_;
  std::map<std::string, size_t, std::less<>> numbers_;
  std::vector<std::map<size_t, int64_t>> together_;
};

// Of all shards. Broken samples are passed over here; who reads them again counts them.
Vocabulary collect_vocabulary(const std::vector<std::string>& shards, const ShardOptions& options);

}  // namespace opencloc

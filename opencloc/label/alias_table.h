// The aliases of a base of entities, to be found in texts: exact, then whatever the case, then in
// the singular.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/data/entities/entity_base.h"

namespace opencloc {

struct EntityCandidate {
  int64_t entity = 0;  // row of the base
  double prior = 0;    // P(entity | mention); they add up to 1 over a mention's candidates
};

// Thread-safe once constructed. A sorted table: an alias takes its folded text and 24 bytes.
class AliasTable {
 public:
  explicit AliasTable(std::shared_ptr<const EntityBase> base);

  const EntityBase& base() const { return *base_; }
  // Words of the longest alias.
  size_t longest() const { return longest_; }
  bool knows(std::string_view mention) const { return !matches(mention).second.empty(); }
  // The likeliest first, equal ones in the order of the base. Aliases that differ from the mention
  // by case count less: a text in lower case seldom means a name that is written large ("apple"
  // against "Apple"), one with capitals may stand in a title.
  std::vector<EntityCandidate> candidates(std::string_view mention) const;

 private:
  struct Entry {
    std::string_view key;  // in keys_
    uint32_t alias;        // number among base_->aliases()
  };
  using Entries = std::span<const Entry>;
  Entries with_key(std::string_view key) const;
  // The mention as it was looked up (in the singular), and the aliases found.
  std::pair<std::string, Entries> matches(std::string_view mention) const;

  const std::shared_ptr<const EntityBase> base_;
  std::string keys_;
  std::vector<Entry> entries_;  // sorted by key
  size_t longest_ = 0;
};

// Lower case, hyphens and runs of white space as one blank: what aliases are compared by.
std::string folded_alias(std::string_view text);

}  // namespace opencloc

// The entities of a record as a training reads them: which of them are classes, and what they are
// called. `label --stages mentions,link` writes them ("entities": [{"id", "name", ...}]), `data
// classes` makes the table of classes.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "opencloc/base/rng.h"
#include "opencloc/data/entities/entity_base.h"
#include "opencloc/data/shard/record.h"

namespace opencloc {

// What the text of a picture is: a caption (or the alt-text), its alt-text, or one of its entities.
enum class CaptionFrom { kCaption, kAltText, kEntities };

struct LabelledEntity {
  std::string id, name;
  int64_t class_index = -1;  // row of the table; -1 without one
};

struct EntitiesOfRecord {
  std::vector<LabelledEntity> known;  // distinct, in the record's order
  int64_t unknown = 0;                // distinct ones that are no classes
};

// Thread-safe. Holds the ids and names of all classes.
class EntityLabels {
 public:
  // `classes`: the table; empty: every entity counts, and none is a class. `base`: a folder of
  // `data entities`, for descriptions; empty: none. Error (input) with file and line: a line with
  // tabs missing, an id twice, classes that are not numbered from 0, no class.
  explicit EntityLabels(const std::filesystem::path& classes,
                        const std::filesystem::path& base = {});

  int64_t classes() const { return static_cast<int64_t>(names_.size()); }
  // What tells this table from others: a hash of the ids in order. Empty without classes.
  const std::string& fingerprint() const { return fingerprint_; }

  // Throws BadSample where "entities" is no list of objects with an id.
  EntitiesOfRecord of(const Record& record, const std::string& where) const;
  // The name; where the base has a description, half of the time "name: description".
  std::string text(const LabelledEntity& entity, Rng& rng) const;
  // All that text() may give.
  std::vector<std::string> texts(const LabelledEntity& entity) const;

 private:
  void read(const std::filesystem::path& table);
  // Empty where there is none.
  std::string_view description(const LabelledEntity& entity) const;

  std::unordered_map<std::string, int64_t> class_of_;  // by id
  std::vector<std::string> names_;
  std::string fingerprint_;
  std::unique_ptr<EntityBase> base_;
};

// How many pictures had an entity to learn. Thread-safe.
class EntityCounter {
 public:
  void add(bool labelled, int64_t unknown);
  int64_t pictures() const { return pictures_; }
  int64_t labelled() const { return labelled_; }
  int64_t unknown() const { return unknown_; }
  // "720 of 1000 pictures had an entity that is a class; 31 labels are no classes, left out"
  std::string summary() const;

 private:
  std::atomic<int64_t> pictures_ = 0, labelled_ = 0, unknown_ = 0;
};

}  // namespace opencloc

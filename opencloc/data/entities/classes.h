// The classes of a training by entities: how many pictures have each entity, and which are kept.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "opencloc/data/shard/shard_reader.h"

namespace opencloc {

struct EntityClass {
  std::string id, name;
  int64_t images = 0;
};

struct EntityClassOptions {
  int64_t min_images = 5;  // rarer entities are no classes
  double max_share = 1;    // nor those of more than this share of the pictures: they say nothing
  ShardOptions shards = {};
  std::function<void()> progress = {};  // per picture
};

struct EntityClasses {
  std::vector<EntityClass> kept;  // the most frequent first, then by id: class i is row i
  int64_t pictures = 0, labelled = 0;
  int64_t labels = 0, kept_labels = 0;
  int64_t rare = 0, common = 0;  // entities left out
};

// The distinct entities that a record is labelled with ("entities": [{"id", "name", ...}]), in its
// order: id, and name where there is one. Throws BadSample where they are of another form.
std::vector<std::pair<std::string, std::string>> labelled_entities(const Record& record,
                                                                   const std::string& where);

// Adds up "entities" of the records (label --stages mentions,link). A picture counts once for an
// entity.
EntityClasses count_entity_classes(const std::vector<std::string>& shards,
                                   const EntityClassOptions& options, SkipCounter& skips);

// class  id  name  images, a header line; fields escaped as in entities.tsv.
void write_entity_classes(const EntityClasses& classes, const std::filesystem::path& path);

}  // namespace opencloc

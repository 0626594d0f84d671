#include "opencloc/data/entities/classes.h"

#include <algorithm>
#include <unordered_map>

#include "opencloc/base/error.h"
#include "opencloc/data/entities/entity_files.h"

namespace opencloc {
std::vector<std::pair<std::string, std::string>> labelled_entities(const Record& record,
                                                                   const std::string& where) {
  std::vector<std::pair<std::string, std::string>> found;
  const auto list = record.extra.find("entities");
  if (list == record.extra.end() || list->is_null()) return found;
  if (!list->is_array()) throw BadSample(skip::kBadJson, "'entities' is not a list", where);
  for (const Json& one : *list) {
    if (!one.is_object() || !one.contains("id") || !one["id"].is_string())
      throw BadSample(skip::kBadJson, "an entity has no id", where);
    const std::string id = one["id"];
    if (std::ranges::any_of(found, [&](const auto& other) { return other.first == id; })) continue;
    const bool named = one.contains("name") && one["name"].is_string();
    found.emplace_back(id, named ? one["name"].get<std::string>() : "");
  }
  return found;
}

EntityClasses count_entity_classes(const std::vector<std::string>& shards,
                                   const EntityClassOptions& options, SkipCounter& skips) {
  EntityClasses classes;
  std::unordered_map<std::string, EntityClass> counted;
  for (const auto& shard : shards) {
    ShardReader reader(shard, skips, options.shards);
    Record record;
    while (reader.next(record)) {
      if (options.progress) options.progress();
      try {
        const auto entities = labelled_entities(record, reader.name());
        for (const auto& [id, name] : entities) {
          EntityClass& one = counted[id];
          one.id = id;
          if (one.name.empty()) one.name = name;
          ++one.images;
        }
        classes.labels += static_cast<int64_t>(entities.size());
        if (!entities.empty()) ++classes.labelled;
        ++classes.pictures;
      } catch (const BadSample& bad) {
        skips.add(bad);
      }
    }
  }
  const double most = options.max_share * static_cast<double>(classes.pictures);
  for (auto& [id, one] : counted) {
    if (one.images < options.min_images) {
      ++classes.rare;
    } else if (static_cast<double>(one.images) > most) {
      ++classes.common;
    } else {
      classes.kept_labels += one.images;
      classes.kept.push_back(std::move(one));
    }
  }
  std::ranges::sort(classes.kept, [](const EntityClass& a, const EntityClass& b) {
    return a.images != b.images ? a.images > b.images : a.id < b.id;
  });
  return classes;
}

void write_entity_classes(const EntityClasses& classes, const std::filesystem::path& path) {
  std::string table = "class\tid\tname\timages\n";
  for (size_t i = 0; i < classes.kept.size(); ++i) {
    const EntityClass& one = classes.kept[i];
    table += std::to_string(i) + '\t' + escape_field(one.id) + '\t' + escape_field(one.name) +
             '\t' + std::to_string(one.images) + '\n';
  }
  write_file(path, table);
}

}  // namespace opencloc

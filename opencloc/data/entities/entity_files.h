// A base of entities (things with a name and an identifier, as MOFI labels pictures with) on disk:
//
//   entities.tsv    id  name  type  popularity  description     a header line; \t \n \r \\ escaped
//   aliases.tsv     alias  id  prior        prior may be empty: the share of the popularity among
//                                           the alias's entities
//   vectors.safetensors   entity_vectors [n, d] F16, rows as in entities.tsv (optional)
//   entities.json   format_version, counts, where it is from, SHA-256 of the tables
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "opencloc/base/files.h"
#include "opencloc/base/json.h"
#include "opencloc/base/sha256.h"

namespace opencloc {

inline constexpr const char* kEntitiesTable = "entities.tsv";
inline constexpr const char* kAliasesTable = "aliases.tsv";
inline constexpr const char* kEntityVectors = "vectors.safetensors";
inline constexpr const char* kEntitiesAbout = "entities.json";
inline constexpr int kEntitiesVersion = 1;

struct Entity {
  std::string id;
  std::string name;
  std::string type;       // WordNet: the lexicographer file, "noun.animal"
  double popularity = 0;  // any scale: counts, links; at least 0
  std::string description;
};

struct EntityAlias {
  std::string text;
  std::optional<double> prior = std::nullopt;  // P(entity | alias), in [0, 1]
};

std::string escape_field(std::string_view field);
// Error (input) naming `where` for a backslash before another sign.
std::string unescape_field(std::string_view field, const std::string& where);
// "FILE line 7"
std::string line_of_file(const std::filesystem::path& file, int64_t line);

// Writes the two tables as entities come, and holds nothing but their ids. Not thread-safe.
class EntityWriter {
 public:
  // `folder` exists; see write_folder().
  explicit EntityWriter(const std::filesystem::path& folder);

  // Aliases are trimmed, empty and repeated ones dropped. Error (input) naming `where` (file and
  // line) for an entity without id, name or alias, an id that came before, a popularity or prior
  // that is no number of its range, and text that is not UTF-8.
  void add(const Entity& entity, const std::vector<EntityAlias>& aliases, const std::string& where);
  int64_t entities() const { return entities_; }
  int64_t aliases() const { return aliases_; }
  // The end of the tables, and entities.json with `about` in it. Error (input) without entities.
  void finish(const Json& about);

 private:
  struct Table {
    explicit Table(const std::filesystem::path& path) : file(path) {}
    void write(const std::string& line) {
      file.write(line);
      hash.add(line);
    }
    AtomicFile file;
    Sha256 hash;
  };
  const std::filesystem::path folder_;
  Table entities_table_, aliases_table_;
  std::unordered_set<std::string> ids_;
  int64_t entities_ = 0, aliases_ = 0;
};

}  // namespace opencloc

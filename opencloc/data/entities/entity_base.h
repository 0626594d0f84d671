// A base of entities in memory: rows, and aliases in order, for looking up.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/data/entities/entity_files.h"

namespace opencloc {

// Text is held once, in two blocks of the files' sizes; an alias takes 32 bytes more, an entity 80.
// Thread-safe once constructed.
class EntityBase {
 public:
  struct Row {
    std::string_view id, name, type, description;
    double popularity = 0;
  };
  struct Alias {
    std::string_view text;
    uint32_t entity = 0;  // its row
    float prior = 0;      // P(entity | alias); they add up to 1 over an alias's entities
  };

  // Error (input) with file and line: a line with tabs missing, an id twice, an alias of an unknown
  // id, an entity without alias, a number that is none; also for a folder of another format.
  explicit EntityBase(const std::filesystem::path& folder);
  EntityBase(const EntityBase&) = delete;
  EntityBase& operator=(const EntityBase&) = delete;

  const std::filesystem::path& folder() const { return folder_; }
  int64_t size() const { return static_cast<int64_t>(rows_.size()); }
  const Row& operator[](int64_t row) const { return rows_[static_cast<size_t>(row)]; }
  std::optional<int64_t> row_of(std::string_view id) const;
  // Sorted by text, then the likeliest first, then in the order of entities.tsv.
  std::span<const Alias> aliases() const { return aliases_; }
  // Those of exactly this text.
  std::span<const Alias> find(std::string_view alias) const;
  // What tells this base from others, for records and reports: format, counts, hashes.
  Json identity() const;
  // [n, d] vectors of the entities; empty where there are none.
  std::filesystem::path vectors() const;

 private:
  void read_entities();
  void read_aliases();
  void fill_priors();

  const std::filesystem::path folder_;
  Json about_;
  std::string entity_text_, alias_text_;  // the views' storage
  std::vector<Row> rows_;
  std::vector<uint32_t> by_id_;  // rows, sorted by id
  std::vector<Alias> aliases_;
};

// Both tables of a folder, with their line numbers, as data entities --format tsv reads them.
// Calls visit(fields, where) for each line after the header; fields are unescaped, as many as
// `columns`: those the header does not name are empty. Error (input) for a header without the
// first `needed` of them, for lines with another number of fields than the header, and for text
// that is not UTF-8.
void for_each_table_line(const std::filesystem::path& table,
                         const std::vector<std::string_view>& columns, size_t needed,
                         const std::function<void(const std::vector<std::string>& fields,
                                                  const std::string& where)>& visit);

// A number of a field; `otherwise` where it is empty. Error (input).
double number_field(const std::string& field, double otherwise, const char* column,
                    const std::string& where);

}  // namespace opencloc

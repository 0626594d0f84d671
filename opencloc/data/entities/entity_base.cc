#include "opencloc/data/entities/entity_base.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "opencloc/base/error.h"
#include "opencloc/base/publish.h"
#include "opencloc/base/text_file.h"

namespace opencloc {
namespace {

std::vector<std::string_view> tab_fields(std::string_view line) {
  std::vector<std::string_view> fields;
  for (size_t at = 0;;) {
    const size_t end = line.find('\t', at);
    fields.push_back(line.substr(at, end == line.npos ? line.npos : end - at));
    if (end == line.npos) return fields;
    at = end + 1;
  }
}

// A view of the text's copy in `pool`, whose capacity is never exceeded.
std::string_view keep(std::string& pool, std::string_view text) {
  const size_t at = pool.size();
  pool += text;
  return std::string_view(pool).substr(at);
}

}  // namespace

void for_each_table_line(const std::filesystem::path& table,
                         const std::vector<std::string_view>& columns, size_t needed,
                         const std::function<void(const std::vector<std::string>& fields,
                                                  const std::string& where)>& visit) {
  constexpr size_t kNone = std::numeric_limits<size_t>::max();
  const std::string text = read_text(table);
  require_utf8(text, table.string());
  std::vector<size_t> column_of;  // of each field of a line
  std::vector<std::string> fields(columns.size());
  for_each_text_line(text, [&](std::string_view line, int64_t number) {
    if (number > 1 && line.empty()) return;
    const auto parts = tab_fields(line);
    const std::string where = line_of_file(table, number);
    if (number == 1) {
      for (const auto name : parts) {
        const auto found = std::ranges::find(columns, name);
        column_of.push_back(found == columns.end() ? kNone
                                                   : static_cast<size_t>(found - columns.begin()));
      }
      for (size_t i = 0; i < needed; ++i) {
        if (std::ranges::find(column_of, i) == column_of.end())
          throw Error::input("the header has no column '" + std::string(columns[i]) + "'", where,
                             "begin the file with the columns' names, tabs between them");
      }
      return;
    }
    if (parts.size() != column_of.size()) {
      throw Error::input("the line has " + std::to_string(parts.size()) + " fields, the header " +
                             std::to_string(column_of.size()),
                         where, R"(put tabs between the fields, and write tabs within them as \t)");
    }
    for (auto& field : fields) field.clear();
    for (size_t i = 0; i < parts.size(); ++i) {
      if (column_of[i] != kNone) fields[column_of[i]] = unescape_field(parts[i], where);
    }
    visit(fields, where);
  });
  if (column_of.empty()) throw Error::input("the file is empty", table.string());
}

double number_field(const std::string& field, double otherwise, const char* column,
                    const std::string& where) {
  if (trimmed(field).empty()) return otherwise;
  const auto value = parse_number(field);
  if (value && *value >= 0) return *value;
  throw Error::input(std::string("the ") + column + " '" + field + "' is no number of at least 0",
                     where);
}

EntityBase::EntityBase(const std::filesystem::path& folder) : folder_(current_folder(folder)) {
  if (!std::filesystem::exists(folder_ / kEntitiesAbout)) {
    throw Error::input("there is no base of entities", folder.string(),
                       "name a folder that 'opencloc data entities' made");
  }
  about_ = read_json(folder_ / kEntitiesAbout);
  const std::string where = (folder_ / kEntitiesAbout).string();
  if (!about_.is_object()) throw Error::input("the file is no JSON object", where);
  if (json_int(about_, "format_version", where, 0) != kEntitiesVersion)
    throw Error::input("the base of entities is of another version", where, "make it again");
  read_entities();
  read_aliases();
  fill_priors();
}

void EntityBase::read_entities() {
  const auto table = folder_ / kEntitiesTable;
  entity_text_.reserve(std::filesystem::exists(table) ? std::filesystem::file_size(table) : 0);
  for_each_table_line(table, {"id", "name", "type", "popularity", "description"}, 2,
                      [&](const std::vector<std::string>& fields, const std::string& where) {
                        Row row;
                        row.id = keep(entity_text_, fields[0]);
                        row.name = keep(entity_text_, fields[1]);
                        row.type = keep(entity_text_, fields[2]);
                        row.popularity = number_field(fields[3], 0, "popularity", where);
                        row.description = keep(entity_text_, fields[4]);
                        if (row.id.empty()) throw Error::input("an entity has no id", where);
                        rows_.push_back(row);
                      });
  if (rows_.empty()) throw Error::input("there is no entity in it", table.string());
  by_id_.resize(rows_.size());
  std::iota(by_id_.begin(), by_id_.end(), 0U);
  std::ranges::stable_sort(by_id_, {}, [&](uint32_t row) { return rows_[row].id; });
  for (size_t i = 1; i < by_id_.size(); ++i) {
    if (rows_[by_id_[i]].id == rows_[by_id_[i - 1]].id)
      throw Error::input("id '" + std::string(rows_[by_id_[i]].id) + "' is there twice",
                         line_of_file(table, by_id_[i] + int64_t{2}), "remove one of the lines");
  }
}

void EntityBase::read_aliases() {
  constexpr double kNoPrior = -1;
  const auto table = folder_ / kAliasesTable;
  alias_text_.reserve(std::filesystem::exists(table) ? std::filesystem::file_size(table) : 0);
  std::vector<bool> named(rows_.size(), false);
  for_each_table_line(
      table, {"alias", "id", "prior"}, 2,
      [&](const std::vector<std::string>& fields, const std::string& where) {
        const auto row = row_of(fields[1]);
        if (!row)
          throw Error::input("there is no entity '" + fields[1] + "'", where,
                             "add it to entities.tsv, or remove the line");
        if (fields[0].empty()) throw Error::input("the alias is empty", where);
        const double prior = number_field(fields[2], kNoPrior, "prior", where);
        if (prior > 1) throw Error::input("the prior is above 1", where);
        named[static_cast<size_t>(*row)] = true;
        aliases_.push_back(
            {keep(alias_text_, fields[0]), static_cast<uint32_t>(*row), static_cast<float>(prior)});
      });
  const auto nameless = std::ranges::find(named, false);
  if (nameless != named.end()) {
    const auto row = nameless - named.begin();
    throw Error::input(
        "entity '" + std::string(rows_[static_cast<size_t>(row)].id) + "' has no alias",
        line_of_file(folder_ / kEntitiesTable, row + 2), "add a line to aliases.tsv");
  }
}

void EntityBase::fill_priors() {
  std::ranges::stable_sort(aliases_, [](const Alias& a, const Alias& b) {
    return a.text != b.text ? a.text < b.text : a.entity < b.entity;
  });
  const auto end_of_unique = std::unique(
      aliases_.begin(), aliases_.end(),
      [](const Alias& a, const Alias& b) { return a.text == b.text && a.entity == b.entity; });
  aliases_.erase(end_of_unique, aliases_.end());
  for (size_t begin = 0; begin < aliases_.size();) {
    size_t end = begin;
    bool given = true;
    double popularity = 0, priors = 0;
    for (; end < aliases_.size() && aliases_[end].text == aliases_[begin].text; ++end) {
      given = given && aliases_[end].prior >= 0;
      popularity += rows_[aliases_[end].entity].popularity;
      priors += std::max(0.F, aliases_[end].prior);
    }
    const auto count = static_cast<double>(end - begin);
    for (size_t i = begin; i < end; ++i) {
      float& prior = aliases_[i].prior;
      double share = 1 / count;
      if (given && priors > 0)
        share = prior / priors;
      else if (popularity > 0)
        share = rows_[aliases_[i].entity].popularity / popularity;
      prior = static_cast<float>(share);
    }
    std::stable_sort(aliases_.begin() + static_cast<std::ptrdiff_t>(begin),
                     aliases_.begin() + static_cast<std::ptrdiff_t>(end),
                     [](const Alias& a, const Alias& b) { return a.prior > b.prior; });
    begin = end;
  }
}

std::optional<int64_t> EntityBase::row_of(std::string_view id) const {
  const auto found =
      std::ranges::lower_bound(by_id_, id, {}, [&](uint32_t row) { return rows_[row].id; });
  if (found == by_id_.end() || rows_[*found].id != id) return std::nullopt;
  return *found;
}

std::span<const EntityBase::Alias> EntityBase::find(std::string_view alias) const {
  return {std::ranges::lower_bound(aliases_, alias, {}, &Alias::text),
          std::ranges::upper_bound(aliases_, alias, {}, &Alias::text)};
}

Json EntityBase::identity() const {
  Json identity = {{"entities", size()}, {"aliases", aliases_.size()}};
  for (const char* key : {"format", "source", "sha256"}) {
    if (about_.contains(key)) identity[key] = about_[key];
  }
  return identity;
}

std::filesystem::path EntityBase::vectors() const {
  const auto path = folder_ / kEntityVectors;
  return std::filesystem::exists(path) ? path : std::filesystem::path();
}

}  // namespace opencloc

#include "opencloc/index/postgres/catalog.h"

#include <unordered_map>
#include <utility>

#include "opencloc/index/postgres/schema.h"

namespace opencloc {
namespace {

CatalogPicture picture_of_row(const PostgresRows& rows, int64_t row) {
  CatalogPicture picture;
  picture.id = rows.number(row, 0);
  picture.digest = rows.text(row, 1);
  picture.width = rows.number(row, 2);
  picture.height = rows.number(row, 3);
  picture.rows = rows.number(row, 4);
  picture.caption = rows.text(row, 5);
  return picture;
}

PictureName name_of_row(const PostgresRows& rows, int64_t row) {
  PictureName name;
  name.name = rows.text(row, 0);
  name.picture = rows.number(row, 1);
  name.sample = rows.number(row, 2);
  name.bytes = rows.number(row, 3);
  name.modified_ns = rows.number(row, 4);
  return name;
}

}  // namespace

CatalogCounts PostgresCatalog::counts() {
  const auto state = read_postgres_state(connection_);
  const auto rows =
      connection_.query("SELECT (SELECT count(*) FROM names), (SELECT count(*) FROM texts)");
  CatalogCounts counts;
  counts.pictures = state.pictures;
  counts.rows = state.vectors;
  counts.names = rows.number(0, 0);
  counts.texts = rows.number(0, 1);
  return counts;
}

std::vector<PictureEntry> PostgresCatalog::pictures(std::span<const int64_t> ids) {
  if (ids.empty()) return {};
  const PostgresValues wanted = PostgresValues().numbers(ids);
  std::unordered_map<int64_t, PictureEntry> found;
  const auto pictures = connection_.query(
      "SELECT id, digest, width, height, rows, caption FROM pictures WHERE id = ANY($1::int8[])",
      wanted);
  for (int64_t row = 0; row < pictures.count(); ++row)
    found[pictures.number(row, 0)].picture = picture_of_row(pictures, row);
  const auto names = connection_.query(
      "SELECT name, picture, sample, bytes, modified_ns FROM names "
      "WHERE picture = ANY($1::int8[]) ORDER BY picture, number",
      wanted);
  for (int64_t row = 0; row < names.count(); ++row) {
    const auto at = found.find(names.number(row, 1));
    if (at != found.end()) at->second.names.push_back(name_of_row(names, row));
  }
  const auto texts = connection_.query(
      "SELECT picture, region, text FROM texts WHERE picture = ANY($1::int8[]) "
      "ORDER BY picture, region",
      wanted);
  for (int64_t row = 0; row < texts.count(); ++row) {
    const auto at = found.find(texts.number(row, 0));
    if (at != found.end()) at->second.texts.push_back({texts.number(row, 1), texts.text(row, 2)});
  }
  std::vector<PictureEntry> entries;
  for (const int64_t id : ids) {
    const auto at = found.find(id);
    if (at != found.end()) entries.push_back(at->second);
  }
  return entries;
}

std::optional<int64_t> PostgresCatalog::picture_of_digest(const std::string& digest) {
  const auto rows = connection_.query("SELECT id FROM pictures WHERE digest = $1::text",
                                      PostgresValues().text(digest));
  if (rows.count() == 0) return std::nullopt;
  return rows.number(0, 0);
}

std::vector<std::string> PostgresCatalog::digests() {
  const auto rows = connection_.query("SELECT digest FROM pictures");
  std::vector<std::string> digests;
  for (int64_t row = 0; row < rows.count(); ++row) digests.push_back(rows.text(row, 0));
  return digests;
}

std::optional<PictureName> PostgresCatalog::find_name(const std::string& name) {
  const auto rows = connection_.query(
      "SELECT name, picture, sample, bytes, modified_ns FROM names "
      "WHERE sha256(name) = sha256($1::bytea)",
      PostgresValues().bytes(name));
  if (rows.count() == 0) return std::nullopt;
  return name_of_row(rows, 0);
}

std::vector<PictureName> PostgresCatalog::names() {
  const auto rows = connection_.query(
      "SELECT name, picture, sample, bytes, modified_ns FROM names ORDER BY picture, number");
  std::vector<PictureName> names;
  for (int64_t row = 0; row < rows.count(); ++row) names.push_back(name_of_row(rows, row));
  return names;
}

std::vector<CatalogPicture> PostgresCatalog::pictures_after(int64_t after, int64_t count) {
  const auto rows = connection_.query(
      "SELECT id, digest, width, height, rows, caption FROM pictures WHERE id > $1::int8 "
      "ORDER BY id LIMIT $2::int8",
      PostgresValues().number(after).number(count));
  std::vector<CatalogPicture> pictures;
  for (int64_t row = 0; row < rows.count(); ++row) pictures.push_back(picture_of_row(rows, row));
  return pictures;
}

}  // namespace opencloc

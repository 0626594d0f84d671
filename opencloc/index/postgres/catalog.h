// Pictures, names and texts of an index in a database.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "opencloc/index/catalog.h"
#include "opencloc/index/postgres/connection.h"

namespace opencloc {

// Not thread-safe. `connection` (connect_to_index()) outlives it.
class PostgresCatalog : public PictureCatalog {
 public:
  explicit PostgresCatalog(PostgresConnection& connection) : connection_(connection) {}

  CatalogCounts counts() override;
  std::vector<PictureEntry> pictures(std::span<const int64_t> ids) override;
  std::optional<int64_t> picture_of_digest(const std::string& digest) override;
  std::vector<std::string> digests() override;
  std::optional<PictureName> find_name(const std::string& name) override;
  std::vector<PictureName> names() override;
  std::vector<CatalogPicture> pictures_after(int64_t after, int64_t count) override;

 private:
  PostgresConnection& connection_;
};

}  // namespace opencloc

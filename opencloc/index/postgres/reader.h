// An index in a database, opened for searching.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "opencloc/index/postgres/catalog.h"
#include "opencloc/index/postgres/nearest.h"
#include "opencloc/index/postgres/schema.h"
#include "opencloc/index/store.h"

namespace opencloc {

// Every call sees what is committed at its moment; the numbers of rows, and the sample that z comes
// from, are those of opening or of the last refresh(). Not thread-safe.
class PostgresReader : public IndexStore {
 public:
  explicit PostgresReader(const PostgresAddress& address);

  std::string name() const override { return connection_->address().shown; }
  const IndexInfo& info() const override { return state_.info; }
  PictureCatalog& catalog() override { return catalog_; }
  bool refresh() override;
  bool has_quality() const override;
  const std::vector<CalibratedCut>& cuts() const override { return state_.cuts; }
  int64_t searched(SearchUnit unit) const override;
  std::vector<Nearest> nearest(SearchUnit unit, SearchScore score,
                               std::span<const std::vector<float>> queries,
                               int64_t candidates) const override;
  std::vector<PictureRows> rows_of(std::span<const int64_t> pictures) const override;
  Json storage() const override;

 private:
  const std::unique_ptr<PostgresConnection> connection_;
  PostgresIndexState state_;
  PostgresCatalog catalog_;
  mutable PostgresNearest nearest_;          // keeps the sample
  mutable std::optional<bool> has_quality_;  // once it was asked for
};

}  // namespace opencloc

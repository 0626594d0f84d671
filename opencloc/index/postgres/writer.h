// The one process that changes an index in a database.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "opencloc/index/pending.h"
#include "opencloc/index/postgres/catalog.h"
#include "opencloc/index/postgres/schema.h"
#include "opencloc/index/store.h"

namespace opencloc {

// Not thread-safe.
class PostgresWriter : public IndexStoreWriter {
 public:
  // Takes the index's advisory lock. Throws Error (input) when another process has it.
  explicit PostgresWriter(const PostgresAddress& address);

  const IndexInfo& info() const override { return state_.info; }
  PictureCatalog& catalog() override { return catalog_; }

  bool has(const std::string& digest) override;
  void add_name(const PictureName& name, const std::string& digest) override;
  void add(const NewPicture& picture) override;
  int64_t pending() const override { return static_cast<int64_t>(pending_.pictures.size()); }
  void commit() override;

  int64_t remove(std::span<const int64_t> pictures) override;
  int64_t remove_names(std::span<const std::string> names) override;

  void set_cuts(std::span<const CalibratedCut> cuts) override;

  // Takes what was removed off the tables, then builds the HNSW indexes, or builds them anew, and
  // says how many of the best rows they find.
  Compaction compact(const std::function<void(int64_t rows)>& copied) override;

 private:
  void lock();
  void copy_pictures();
  void copy_vectors();
  // Returns the pictures that these names stood for before.
  std::vector<int64_t> set_names();
  // Of these pictures, those without a name go.
  int64_t remove_nameless(std::span<const int64_t> pictures);
  int64_t delete_pictures(std::span<const int64_t> pictures);
  void count(int64_t pictures, int64_t vectors);

  const std::unique_ptr<PostgresConnection> connection_;
  PostgresIndexState state_;
  PostgresCatalog catalog_;
  PendingPictures pending_;
  std::vector<NewPicture> vectors_;  // with the numbers of pending_.pictures
};

}  // namespace opencloc

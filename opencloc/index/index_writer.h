// The one process that changes an index: adds pictures, removes them, compacts. What it has
// committed is there whatever happens to it afterwards; what it has not is gone, whole.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "opencloc/base/folder_lock.h"
#include "opencloc/index/catalog.h"
#include "opencloc/index/info.h"
#include "opencloc/index/pending.h"
#include "opencloc/index/segment.h"
#include "opencloc/index/store.h"

namespace opencloc {

// Not thread-safe.
class IndexWriter : public IndexStoreWriter {
 public:
  // Takes the lock and clears away what a killed writer left. Throws Error (input) when another
  // process writes, naming it.
  explicit IndexWriter(std::filesystem::path path);

  const IndexInfo& info() const override { return info_; }
  Catalog& catalog() override { return catalog_; }

  bool has(const std::string& digest) override;
  void add_name(const PictureName& name, const std::string& digest) override;
  void add(const NewPicture& picture) override;
  int64_t pending() const override { return static_cast<int64_t>(pending_.pictures.size()); }
  // As one segment.
  void commit() override;

  int64_t remove(std::span<const int64_t> pictures) override;
  int64_t remove_names(std::span<const std::string> names) override;

  void set_cuts(std::span<const CalibratedCut> cuts) override;

  // One segment of all, without the rows of removed pictures. Copies what is stored, so that no
  // score changes. Does nothing when there is nothing to gain.
  Compaction compact(const std::function<void(int64_t rows)>& copied = {}) override;

 private:
  void clear_debris();

  const std::filesystem::path path_;
  const IndexInfo info_;
  const FolderLock lock_;
  Catalog catalog_;
  int64_t next_picture_ = 1;
  SegmentRows rows_;
  PendingPictures pending_;
};

}  // namespace opencloc

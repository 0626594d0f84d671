// The one process that changes an index: adds pictures, removes them, compacts. What it has
// committed is there whatever happens to it afterwards; what it has not is gone, whole.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "opencloc/base/folder_lock.h"
#include "opencloc/image/box.h"
#include "opencloc/index/catalog.h"
#include "opencloc/index/info.h"
#include "opencloc/index/segment.h"

namespace opencloc {

struct NewRegion {
  Box box;
  std::string text;
  std::vector<float> vector;  // [E], unit length
  // In [0, 1]: how well the box holds one object. None: the model does not say.
  std::optional<float> quality = std::nullopt;
};

struct NewPicture {
  PictureName name;
  std::string digest;  // SHA-256 of its bytes, hexadecimal
  int64_t width = 0, height = 0;
  std::string caption;
  std::vector<float> vector;  // [E], of the whole picture, unit length
  std::vector<NewRegion> regions;
};

// What stands at the end of compact().
struct Compaction {
  int64_t segments = 0;  // that became one
  int64_t rows = 0;      // now
  int64_t dropped = 0;   // rows of removed pictures
};

// Not thread-safe.
class IndexWriter {
 public:
  // Takes the lock and clears away what a killed writer left. Throws Error (input) when another
  // process writes, naming it.
  explicit IndexWriter(std::filesystem::path path);

  const IndexInfo& info() const { return info_; }
  Catalog& catalog() { return catalog_; }

  // Whether a picture of this content is there, also one that is not committed yet.
  bool has(const std::string& digest);
  // Another name for content that is there. A name that stood for other content moves; content
  // that loses its last name is removed.
  void add_name(const PictureName& name, const std::string& digest);
  // Content that is not there yet. Throws Error (input) for vectors of another width or with
  // numbers that are not finite.
  void add(const NewPicture& picture);
  int64_t pending() const { return static_cast<int64_t>(pictures_.size()); }
  // Makes everything that was added valid, as one segment.
  void commit();

  // Each is a change of its own, committed when it returns. How many pictures went.
  int64_t remove(std::span<const int64_t> pictures);
  int64_t remove_names(std::span<const std::string> names);

  // One segment of all, without the rows of removed pictures. Copies what is stored, so that no
  // score changes. `copied` hears of rows. Does nothing when there is nothing to gain.
  Compaction compact(const std::function<void(int64_t rows)>& copied = {});

 private:
  void clear_debris();

  const std::filesystem::path path_;
  const IndexInfo info_;
  const FolderLock lock_;
  Catalog catalog_;
  int64_t next_picture_ = 1;
  SegmentRows rows_;
  std::vector<CatalogPicture> pictures_;
  std::vector<PictureName> names_;
  std::vector<std::pair<int64_t, RegionText>> texts_;
  std::unordered_map<std::string, int64_t> pending_;  // digest -> picture
};

}  // namespace opencloc

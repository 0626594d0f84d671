// A shard as a file of this machine that is open: itself, its copy in the cache, or, of a
// compressed one, what was unpacked.
#pragma once

#include <memory>
#include <string>

#include "opencloc/data/shard/tar_index.h"

namespace opencloc {

class LocalShard {
 public:
  // Fetches remote shards. Throws Error.
  explicit LocalShard(std::string name);
  ~LocalShard();
  LocalShard(const LocalShard&) = delete;
  LocalShard& operator=(const LocalShard&) = delete;

  const std::string& name() const { return name_; }
  // What to open it by.
  const std::string& path() const { return path_; }
  int fd() const { return fd_; }
  // Of the file as it was when it was opened.
  const FileStamp& stamp() const { return stamp_; }

  // The index, where a right one lies beside the shard or in the cache; else null.
  std::unique_ptr<const TarIndex> load_index() const;
  // Beside the shard; in the cache where that folder cannot be written.
  void save_index(const TarIndex& index) const;

 private:
  std::string name_, path_;
  int fd_ = -1;
  FileStamp stamp_;
};

}  // namespace opencloc

// Shards of other machines as files of this one: fetched whole into a folder of bounded size, from
// which those go first that were not used for the longest time. All processes of a machine may
// share the folder, at the same time.
//
//   FOLDER/shards/HASH/NAME.tar        the shard; its time stands for the version of the server
//   FOLDER/shards/HASH/NAME.tar.json   whose copy it is, and of which version; stays
//   FOLDER/shards/HASH/NAME.tar.idx    where its samples begin (tar_index.h); stays
//   FOLDER/index/HASH.idx              of local shards whose own folder cannot be written
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "opencloc/data/remote/http.h"
#include "opencloc/data/shard/tar_index.h"

namespace opencloc {

struct ShardCacheOptions {
  std::filesystem::path folder = {};  // empty: $XDG_CACHE_HOME/opencloc or ~/.cache/opencloc
  uint64_t bytes = 100'000'000'000;   // all shards together
  RetryOptions retry = {};
};

// Of the whole process. They are set before the first shard is opened, not later.
void set_shard_cache(const ShardCacheOptions& options);
const ShardCacheOptions& shard_cache_options();
std::filesystem::path shard_cache_folder();

// A shard in the cache. What is there of an earlier run is used when the server still has the same
// version (asked once per process; where it cannot be asked, with a warning), of a command always.
class CachedShard {
 public:
  explicit CachedShard(std::string name);

  // The state of the copy, and so of its index, where the version is known; the copy itself may
  // have gone from the cache.
  std::optional<FileStamp> known() const;
  // An open file of the copy, which is fetched where it is not there; the caller closes. It stays
  // whole while it is open, even if the cache lets go of it. Throws Error. Thread-safe.
  int open(FileStamp* stamp = nullptr) const;
  const std::filesystem::path& index_path() const { return index_; }

 private:
  struct Meta;
  std::optional<Meta> read_meta() const;
  std::optional<Meta> confirmed() const;
  int open_copy(const Meta& meta, FileStamp* stamp) const;
  int fetch(FileStamp* stamp) const;

  std::string name_;
  std::filesystem::path folder_, file_, meta_, index_;
};

}  // namespace opencloc

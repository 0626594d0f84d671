#include "opencloc/data/remote/local_shard.h"

#include <filesystem>
#include <utility>

#include <unistd.h>

#include "opencloc/base/files.h"
#include "opencloc/data/remote/cache.h"
#include "opencloc/data/remote/remote_names.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

// For shards in folders that cannot be written.
fs::path index_in_cache(const std::string& shard) {
  std::error_code error;
  const fs::path path = fs::weakly_canonical(shard, error);
  return shard_cache_folder() / "index" / (hash_of_name(path.string()) + ".idx");
}

}  // namespace

LocalShard::LocalShard(std::string name) : name_(std::move(name)), path_(name_) {
  if (is_remote(name_)) {
    fd_ = CachedShard(name_).open(&stamp_);
    path_ = "/proc/self/fd/" + std::to_string(fd_);
  } else {
    fd_ = open_for_reading(name_);
    stamp_ = stamp_of(fd_);
  }
}

LocalShard::~LocalShard() {
  if (fd_ >= 0) ::close(fd_);
}

std::unique_ptr<const TarIndex> LocalShard::load_index() const {
  if (is_remote(name_)) return TarIndex::load(CachedShard(name_).index_path(), stamp_);
  auto index = TarIndex::load(name_ + ".idx", stamp_);
  return index ? std::move(index) : TarIndex::load(index_in_cache(name_), stamp_);
}

void LocalShard::save_index(const TarIndex& index) const {
  if (is_remote(name_)) {
    index.save(CachedShard(name_).index_path(), stamp_);
  } else if (!index.save(name_ + ".idx", stamp_)) {
    const fs::path path = index_in_cache(name_);
    std::error_code error;  // where the cache cannot be written either, nothing is kept
    fs::create_directories(path.parent_path(), error);
    index.save(path, stamp_);
  }
}

}  // namespace opencloc

#include "opencloc/data/remote/cache.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/json.h"
#include "opencloc/base/log.h"
#include "opencloc/base/temporary.h"
#include "opencloc/data/remote/pipe.h"
#include "opencloc/data/remote/remote_names.h"
#include "opencloc/data/remote/s3.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

ShardCacheOptions& process_options() {
  static ShardCacheOptions options;
  return options;
}

// Names whose version the server has confirmed to this process, or that it has fetched.
class ConfirmedNames {
 public:
  bool has(const std::string& name) {
    const std::lock_guard lock(mutex_);
    return names_.contains(name);
  }
  void add(const std::string& name) {
    const std::lock_guard lock(mutex_);
    names_.insert(name);
  }
  // True at the first call.
  bool first_warning() {
    const std::lock_guard lock(mutex_);
    return !std::exchange(warned_, true);
  }
  void clear() {
    const std::lock_guard lock(mutex_);
    names_.clear();
  }

 private:
  std::mutex mutex_;
  std::set<std::string> names_;
  bool warned_ = false;
};

ConfirmedNames& confirmed_names() {
  static ConfirmedNames names;
  return names;
}

// An exclusive lock between threads and processes, for as long as it lives. On file systems without
// locks it locks nothing: shards are then fetched twice at worst.
class CacheLock {
 public:
  explicit CacheLock(const fs::path& path)
      : fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
    if (fd_ < 0) return;
    while (::flock(fd_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  ~CacheLock() {
    if (fd_ >= 0) ::close(fd_);
  }
  CacheLock(const CacheLock&) = delete;
  CacheLock& operator=(const CacheLock&) = delete;

 private:
  int fd_;
};

struct OldCopy {
  fs::path path;
  uint64_t bytes;
  timespec used;
};

// What the shards of the cache take, and those of them that may go, the oldest use first.
uint64_t look_over(const fs::path& shards, std::vector<OldCopy>& copies) {
  uint64_t sum = 0;
  std::error_code error;
  for (const auto& folder : fs::directory_iterator(shards, error)) {
    std::error_code gone;
    remove_abandoned(folder.path());
    for (const auto& entry : fs::directory_iterator(folder.path(), gone)) {
      const std::string name = entry.path().filename().string();
      struct stat info {};
      if (::stat(entry.path().c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
      sum += static_cast<uint64_t>(info.st_size);
      const bool stays =
          is_temporary(name) || name == "lock" || name.ends_with(".json") || name.ends_with(".idx");
      if (!stays)
        copies.push_back({entry.path(), static_cast<uint64_t>(info.st_size), info.st_atim});
    }
  }
  std::ranges::sort(copies, [](const OldCopy& a, const OldCopy& b) {
    return std::pair(a.used.tv_sec, a.used.tv_nsec) < std::pair(b.used.tv_sec, b.used.tv_nsec);
  });
  return sum;
}

// Lets go of old copies until `bytes` more fit, and takes them: the file `fd` gets that length.
void reserve_room(int fd, uint64_t bytes, const std::string& name) {
  const auto limit = process_options().bytes;
  const fs::path folder = shard_cache_folder();
  if (bytes > limit) {
    throw Error::failed("a shard of " + std::to_string(bytes) +
                            " bytes does not fit the cache of " + std::to_string(limit),
                        shown_name(name), "raise the setting 'cache_gb'");
  }
  const CacheLock lock(folder / "lock");
  std::vector<OldCopy> copies;
  const auto own = stamp_of(fd).bytes;
  uint64_t used = look_over(folder / "shards", copies);
  used -= std::min(used, own);
  for (const auto& copy : copies) {
    if (used + bytes <= limit) break;
    std::error_code error;
    if (fs::remove(copy.path, error)) used -= std::min(used, copy.bytes);
  }
  while (::ftruncate(fd, static_cast<off_t>(bytes)) != 0) {
    if (errno == EINTR) continue;
    throw Error::failed("no room for a shard (" + errno_text() + ")", folder.string(),
                        "free space there, or name another folder for the setting 'cache_dir'");
  }
}

// The time that the copy of a version gets: the same whenever and wherever it is fetched, and long
// ago.
timespec time_of_version(const std::string& name, const RemoteVersion& version) {
  const std::string hash = hash_of_name(name + '\n' + version.etag + '\n' + version.modified);
  return {static_cast<time_t>(1'000'000'000 + std::stoll(hash.substr(0, 7), nullptr, 16)), 0};
}

HttpPlace place_of(const std::string& name) {
  if (scheme_of(name) == "s3") return s3_place(name);
  return {.url = name, .shown = shown_name(name), .s3 = false, .signing = {}};
}

}  // namespace

void set_shard_cache(const ShardCacheOptions& options) {
  process_options() = options;
  confirmed_names().clear();
}

const ShardCacheOptions& shard_cache_options() { return process_options(); }

fs::path shard_cache_folder() {
  if (!process_options().folder.empty()) return process_options().folder;
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache == '/') return fs::path(cache) / "opencloc";
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home == '/') return fs::path(home) / ".cache" / "opencloc";
  return fs::temp_directory_path() / ("opencloc-cache-" + std::to_string(::getuid()));
}

struct CachedShard::Meta {
  RemoteVersion version;
  FileStamp stamp;
};

CachedShard::CachedShard(std::string name) : name_(std::move(name)) {
  folder_ = shard_cache_folder() / "shards" / hash_of_name(name_);
  const std::string file = shard_file_name(name_);
  file_ = folder_ / file;
  meta_ = folder_ / (file + ".json");
  index_ = folder_ / (file + ".idx");
}

std::optional<CachedShard::Meta> CachedShard::read_meta() const {
  std::error_code none;
  if (!fs::is_regular_file(meta_, none)) return std::nullopt;
  try {
    const Json json = read_json(meta_);
    if (json_string(json, "name", meta_.string(), "") != name_) return std::nullopt;
    Meta meta;
    meta.version.bytes = json_at(json, "bytes", meta_.string()).get<uint64_t>();
    meta.version.etag = json_string(json, "etag", meta_.string(), "");
    meta.version.modified = json_string(json, "modified", meta_.string(), "");
    meta.stamp = {meta.version.bytes,
                  int64_t{time_of_version(name_, meta.version).tv_sec} * 1'000'000'000};
    return meta;
  } catch (const std::exception&) {  // damaged: as if it were not there
    return std::nullopt;
  }
}

std::optional<CachedShard::Meta> CachedShard::confirmed() const {
  auto meta = read_meta();
  if (!meta || scheme_of(name_) == "pipe" || confirmed_names().has(name_)) return meta;
  switch (still_there(place_of(name_), meta->version, process_options().retry)) {
    case Known::kNo:
      return std::nullopt;
    case Known::kUnknown:
      if (confirmed_names().first_warning())
        log::warn("{}: the server does not say whether the copy in the cache is still right",
                  shown_name(name_));
      break;
    case Known::kYes:
      break;
  }
  confirmed_names().add(name_);
  return meta;
}

std::optional<FileStamp> CachedShard::known() const {
  const auto meta = confirmed();
  return meta ? std::optional(meta->stamp) : std::nullopt;
}

// -1 where the copy is not there, or is another one.
int CachedShard::open_copy(const Meta& meta, FileStamp* stamp) const {
  const int fd = ::open(file_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  if (stamp_of(fd) != meta.stamp) {
    ::close(fd);
    return -1;
  }
  const timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};  // used now; mounts may not say so
  ::futimens(fd, times);
  if (stamp != nullptr) *stamp = meta.stamp;
  return fd;
}

int CachedShard::open(FileStamp* stamp) const {
  if (const auto meta = confirmed()) {
    if (const int fd = open_copy(*meta, stamp); fd >= 0) return fd;
  }
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) {
    throw Error::failed("cannot create the cache (" + error.message() + ")", folder_.string(),
                        "name another folder for the setting 'cache_dir'");
  }
  const CacheLock lock(folder_ / "lock");
  if (const auto meta = confirmed()) {  // another one has fetched it meanwhile
    if (const int fd = open_copy(*meta, stamp); fd >= 0) return fd;
  }
  return fetch(stamp);
}

int CachedShard::fetch(FileStamp* stamp) const {
  struct Temporary {
    fs::path path;
    int fd;
    ~Temporary() {
      if (!path.empty()) ::unlink(path.c_str());
      if (fd >= 0) ::close(fd);
    }
  } temporary{temporary_beside(file_), -1};
  temporary.fd = ::open(temporary.path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (temporary.fd < 0) {
    throw Error::failed("cannot write to the cache (" + errno_text() + ")", folder_.string(),
                        "name another folder for the setting 'cache_dir'");
  }
  RemoteVersion version;
  if (scheme_of(name_) == "pipe") {
    run_command_into(name_.substr(5), temporary.fd);
    version.bytes = stamp_of(temporary.fd).bytes;
    reserve_room(temporary.fd, version.bytes, name_);
  } else {
    version = download(place_of(name_), temporary.fd, process_options().retry,
                       [&](uint64_t bytes) { reserve_room(temporary.fd, bytes, name_); });
    if (stamp_of(temporary.fd).bytes != version.bytes)
      reserve_room(temporary.fd, version.bytes, name_);
  }
  const timespec times[2] = {{0, UTIME_NOW}, time_of_version(name_, version)};
  ::futimens(temporary.fd, times);
  const Json meta = {{"name", name_},
                     {"bytes", version.bytes},
                     {"etag", version.etag},
                     {"modified", version.modified}};
  write_file(meta_, dump_json(meta) + '\n');
  if (::rename(temporary.path.c_str(), file_.c_str()) != 0) {
    throw Error::failed("cannot write to the cache (" + errno_text() + ")", file_.string(),
                        "name another folder for the setting 'cache_dir'");
  }
  temporary.path.clear();
  confirmed_names().add(name_);
  if (stamp != nullptr) *stamp = stamp_of(temporary.fd);
  return std::exchange(temporary.fd, -1);
}

}  // namespace opencloc

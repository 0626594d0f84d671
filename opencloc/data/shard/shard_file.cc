// ShardFile and ShardIndex: samples by number.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <limits>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "opencloc/base/files.h"
#include "opencloc/base/parallel_for.h"
#include "opencloc/data/remote/cache.h"
#include "opencloc/data/remote/local_shard.h"
#include "opencloc/data/remote/remote_names.h"
#include "opencloc/data/shard/sample_stream.h"
#include "opencloc/data/shard/shard_reader.h"
#include "opencloc/data/shard/tar_stream.h"

namespace opencloc {
namespace {

// A file without a name: it ends when it is closed, whatever happens to the process.
int open_unnamed(const std::string& shard) {
  const char* tmpdir = std::getenv("TMPDIR");
  std::string pattern = std::string(tmpdir == nullptr || *tmpdir == '\0' ? "/tmp" : tmpdir) +
                        "/opencloc-shard-XXXXXX";
  const int fd = ::mkostemp(pattern.data(), O_CLOEXEC);
  if (fd < 0) {
    throw Error::failed(
        "cannot create a temporary file to unpack " + shard + " (" + errno_text() + ")", pattern,
        "set $TMPDIR to a folder with free space");
  }
  ::unlink(pattern.c_str());
  return fd;
}

// Runs `work`; with skip_bad_shards what is wrong with the shard is counted. False then.
template <typename Work>
bool unless_bad(const std::string& name, SkipCounter& skips, const ShardOptions& options,
                const Work& work) {
  try {
    work();
    return true;
  } catch (const Error& e) {
    if (!options.skip_bad_shards) throw;
    skips.add(skip::kBadShard, name, e.what());
    return false;
  }
}

// Calls visit(sample) for every sample, without reading data.
template <typename Visit>
void walk(const std::string& path, const std::string& name, const ShardOptions& options,
          const Visit& visit) {
  TarStream tar = TarStream::open(path, name);
  SampleStream samples(tar, options.max_member_bytes);
  RawSample sample;
  while (samples.next(sample, SampleStream::Data::kPass)) visit(sample);
}

uint32_t block_of(uint64_t offset, const std::string& name) {
  const uint64_t block = offset / TarIndex::kBlock;
  if (block > std::numeric_limits<uint32_t>::max()) {
    throw Error::input("a shard of more than 2 TiB", name, "make smaller shards");
  }
  return static_cast<uint32_t>(block);
}

// What an index of the tar `path` holds. False when the shard is damaged midway and that is
// skipped.
bool find_samples(const std::string& path, const std::string& name, uint64_t tar_bytes,
                  const ShardOptions& options, SkipCounter& skips, TarIndex::Found& found) {
  uint64_t end = 0;
  const bool whole = unless_bad(name, skips, options, [&] {
    walk(path, name, options, [&](const RawSample& sample) {
      found.starts.push_back(block_of(sample.offset, name));
      end = sample.end;
      found.last_cut = sample.problem == skip::kCutShort;
    });
  });
  if (!found.starts.empty()) found.starts.push_back(block_of(end, name));
  // The walk seeks over data, so it cannot see that the last member's is missing.
  found.last_cut = found.last_cut || end > tar_bytes;
  return whole;
}

// While it lives, other processes that open the shard wait for the index instead of making it
// themselves: for a minute at most, and not on file systems without locks.
class IndexTurn {
 public:
  explicit IndexTurn(int fd) : fd_(fd) {
    using namespace std::chrono_literals;
    for (int tries = 0; tries < 1200; ++tries) {
      if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
      if (errno != EWOULDBLOCK && errno != EINTR) return;
      waited_ = true;
      std::this_thread::sleep_for(50ms);
    }
  }
  ~IndexTurn() { ::flock(fd_, LOCK_UN); }
  IndexTurn(const IndexTurn&) = delete;
  IndexTurn& operator=(const IndexTurn&) = delete;
  bool waited() const { return waited_; }

 private:
  int fd_;
  bool waited_ = false;
};

}  // namespace

ShardFile::ShardFile(std::string path, SkipCounter& skips, ShardOptions options)
    : path_(std::move(path)), options_(options) {
  raise_open_file_limit();  // whoever opens shards by number keeps many of them open
  try {
    open(skips);
  } catch (const Error& e) {
    if (unpacked_ >= 0) ::close(std::exchange(unpacked_, -1));
    if (!options_.skip_bad_shards || e.kind() == ErrorKind::kFailed) throw;
    skips.add(skip::kBadShard, path_, e.what());
  }
}

void ShardFile::open(SkipCounter& skips) {
  const bool remote = is_remote(path_);
  if (remote) {
    const CachedShard cached(path_);
    if (const auto stamp = cached.known()) {
      index_ = TarIndex::load(cached.index_path(), *stamp);
      stamp_ = *stamp;
      if (index_ && !index_->compressed()) return;
    }
  }
  const auto file = std::make_shared<LocalShard>(path_);
  stamp_ = file->stamp();
  index_ = file->load_index();
  std::optional<IndexTurn> turn;
  if (!index_ && turn.emplace(file->fd()).waited()) index_ = file->load_index();
  const auto unpack = [&] {
    return unpack_compressed(file->path(), [this] { return unpacked_ = open_unnamed(path_); });
  };
  if (!index_) {
    TarIndex::Found found;
    found.compressed = unpack();
    const int tar = found.compressed ? unpacked_ : file->fd();
    const std::string readable =
        found.compressed ? "/proc/self/fd/" + std::to_string(tar) : file->path();
    const bool whole = find_samples(readable, path_, stamp_of(tar).bytes, options_, skips, found);
    index_ = std::make_unique<const TarIndex>(std::move(found));
    if (whole) file->save_index(*index_);
    if (auto mapped = file->load_index()) index_ = std::move(mapped);  // not held in memory
  } else if (index_->compressed()) {
    unpack();
  }
  if (!remote && unpacked_ < 0) file_ = file;
}

ShardFile::~ShardFile() {
  if (unpacked_ >= 0) ::close(unpacked_);
}

ShardFile::ShardFile(ShardFile&& other) noexcept
    : path_(std::move(other.path_)),
      options_(other.options_),
      file_(std::move(other.file_)),
      stamp_(other.stamp_),
      unpacked_(std::exchange(other.unpacked_, -1)),
      index_(std::move(other.index_)) {}

uint64_t ShardFile::bytes() const {
  if (samples() == 0) return 0;
  const uint64_t begin = index_->begin(0), end = index_->end(samples() - 1);
  return end > begin ? end - begin : 0;
}

Record ShardFile::read(int64_t i) const {
  const std::string where = path_ + "#" + std::to_string(i);
  if (i < 0 || i >= samples()) throw std::out_of_range(where);
  const uint64_t begin = index_->begin(i), end = index_->end(i);
  if (index_->cut(i)) throw BadSample(skip::kCutShort, "the shard stops here", where);
  constexpr uint64_t kHeaderRoom = uint64_t{1} << 20;
  if (end < begin) throw BadSample(skip::kCutShort, "its index is wrong", where);
  if (end - begin > options_.max_member_bytes + kHeaderRoom) {
    throw BadSample(skip::kTooLarge, std::to_string(end - begin) + " bytes", where);
  }
  std::string bytes(end - begin, '\0');
  read_at(begin, bytes, where);
  TarStream tar = TarStream::over(bytes, path_);
  SampleStream samples(tar, options_.max_member_bytes);
  RawSample sample;
  try {
    if (!samples.next(sample, SampleStream::Data::kRead)) {
      throw BadSample(skip::kCutShort, "the shard stops here", where);
    }
  } catch (const BadSample&) {
    throw;
  } catch (const Error& e) {
    throw BadSample(skip::kCutShort, e.what(), where);
  }
  return make_record(std::move(sample), path_, options_);
}

void ShardFile::read_at(uint64_t offset, std::string& bytes, const std::string& where) const {
  struct Opened {  // of the cache, for this sample
    int fd = -1;
    ~Opened() {
      if (fd >= 0) ::close(fd);
    }
  } opened;
  int fd = unpacked_ >= 0 ? unpacked_ : file_ ? file_->fd() : -1;
  if (fd < 0) {
    FileStamp now;
    fd = opened.fd = CachedShard(path_).open(&now);
    if (now != stamp_) {
      throw Error::failed("the shard has changed on its server", shown_name(path_),
                          "begin anew, with the shard as it is now");
    }
  }
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got =
        ::pread(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error::failed("cannot read (" + errno_text() + ")", path_, "check the disk");
    if (got == 0) throw BadSample(skip::kCutShort, "the shard has shrunk", where);
    done += static_cast<size_t>(got);
  }
}

ShardIndex::ShardIndex(std::vector<std::string> paths, int threads, SkipCounter& skips,
                       ShardOptions options)
    : paths_(std::move(paths)), starts_(paths_.size() + 1, 0) {
  parallel_for(static_cast<int64_t>(paths_.size()), threads, [&](int64_t i) {
    const auto shard = static_cast<size_t>(i);
    starts_[shard + 1] = count_samples(paths_[shard], skips, options);
  });
  for (size_t i = 1; i < starts_.size(); ++i) starts_[i] += starts_[i - 1];
}

ShardIndex::Place ShardIndex::locate(int64_t sample) const {
  const auto after = std::upper_bound(starts_.begin(), starts_.end(), sample);
  const int64_t shard = after - starts_.begin() - 1;
  return {shard, sample - starts_[static_cast<size_t>(shard)]};
}

int64_t count_samples(const std::string& path, SkipCounter& skips, ShardOptions options) {
  int64_t count = 0;
  unless_bad(path, skips, options, [&] {
    const LocalShard file(path);
    if (const auto index = file.load_index()) {
      count = index->samples();
    } else {
      walk(file.path(), path, options, [&count](const RawSample&) { ++count; });
    }
  });
  return count;
}

}  // namespace opencloc

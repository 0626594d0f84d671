// ShardFile and ShardIndex: samples by number.
#include <algorithm>
#include <cstdlib>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "opencloc/base/files.h"
#include "opencloc/base/parallel_for.h"
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

// Calls visit(sample) for every sample, without reading data. With skip_bad_shards damage is
// counted and ends the walk.
template <typename Visit>
void walk(const std::string& path, const std::string& name, SkipCounter& skips,
          const ShardOptions& options, const Visit& visit) {
  try {
    TarStream tar = TarStream::open(path, name);
    SampleStream samples(tar, options.max_member_bytes);
    RawSample sample;
    while (samples.next(sample, SampleStream::Data::kPass)) visit(sample);
  } catch (const Error& e) {
    if (!options.skip_bad_shards) throw;
    skips.add(skip::kBadShard, name, e.what());
  }
}

}  // namespace

ShardFile::ShardFile(std::string path, SkipCounter& skips, ShardOptions options)
    : path_(std::move(path)), options_(options) {
  raise_open_file_limit();  // whoever opens shards by number keeps many of them open
  std::string readable = path_;
  try {
    const bool unpacked = unpack_compressed(path_, [this] { return fd_ = open_unnamed(path_); });
    if (unpacked) {
      readable = "/proc/self/fd/" + std::to_string(fd_);
    } else {
      fd_ = open_for_reading(path_);
    }
    walk(readable, path_, skips, options_, [this](const RawSample& sample) {
      extents_.push_back(
          {sample.offset, sample.end - sample.offset, sample.problem == skip::kCutShort});
    });
    // The walk seeks over data, so it cannot see that the last member's is missing.
    const auto file_size = static_cast<uint64_t>(::lseek(fd_, 0, SEEK_END));
    for (auto& extent : extents_) {
      extent.cut = extent.cut || extent.offset + extent.size > file_size;
    }
  } catch (const Error& e) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
    if (!options_.skip_bad_shards || e.kind() == ErrorKind::kFailed) throw;
    skips.add(skip::kBadShard, path_, e.what());
  }
}

ShardFile::~ShardFile() {
  if (fd_ >= 0) ::close(fd_);
}

ShardFile::ShardFile(ShardFile&& other) noexcept
    : path_(std::move(other.path_)),
      options_(other.options_),
      fd_(std::exchange(other.fd_, -1)),
      extents_(std::move(other.extents_)) {}

Record ShardFile::read(int64_t i) const {
  const Extent& extent = extents_.at(static_cast<size_t>(i));
  const std::string where = path_ + "#" + std::to_string(i);
  if (extent.cut) throw BadSample(skip::kCutShort, "the shard stops here", where);
  constexpr uint64_t kHeaderRoom = uint64_t{1} << 20;
  if (extent.size > options_.max_member_bytes + kHeaderRoom) {
    throw BadSample(skip::kTooLarge, std::to_string(extent.size) + " bytes", where);
  }
  std::string bytes(extent.size, '\0');
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = ::pread(fd_, bytes.data() + done, bytes.size() - done,
                                static_cast<off_t>(extent.offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error::failed("cannot read (" + errno_text() + ")", path_, "check the disk");
    if (got == 0) throw BadSample(skip::kCutShort, "the shard has shrunk", where);
    done += static_cast<size_t>(got);
  }
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
  walk(path, path, skips, options, [&count](const RawSample&) { ++count; });
  return count;
}

}  // namespace opencloc

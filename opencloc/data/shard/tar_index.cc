#include "opencloc/data/shard/tar_index.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/base/rng.h"
#include "opencloc/base/temporary.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

struct IndexHeader {
  std::array<char, 8> magic{'O', 'C', 'T', 'A', 'R', 'I', 'D', 'X'};
  uint32_t version = 1;
  uint32_t flags = 0;
  uint64_t tar_bytes = 0;
  int64_t tar_modified_ns = 0;
  uint64_t samples = 0;
  uint64_t checksum = 0;  // of all else, with 0 in its place
};
static_assert(sizeof(IndexHeader) == 48);

enum IndexFlag : uint32_t { kCompressed = 1, kLastCut = 2 };

// The kernel allows 65,530 maps to a process. Further indexes are read into memory.
constexpr int kMostMaps = 20'000;
std::atomic<int> maps_held{0};

// A change of a tar this short a time after another one may leave its time as it is.
constexpr int64_t kRestlessNs = 2'000'000'000;

uint64_t checksum_of(IndexHeader header, std::span<const uint32_t> starts) {
  header.checksum = 0;
  uint64_t sum = 0;
  const auto add = [&sum](const void* data, size_t bytes) {
    const auto* at = static_cast<const char*>(data);
    for (; bytes > 0;) {
      uint64_t word = 0;
      const size_t taken = std::min(bytes, sizeof word);
      std::memcpy(&word, at, taken);
      sum = mix64(sum ^ word);
      at += taken;
      bytes -= taken;
    }
  };
  add(&header, sizeof header);
  add(starts.data(), starts.size_bytes());
  return sum;
}

bool write_whole(int fd, const void* data, size_t bytes) {
  const auto* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t wrote = ::write(fd, at, bytes);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return false;
    at += wrote;
    bytes -= static_cast<size_t>(wrote);
  }
  return true;
}

}  // namespace

FileStamp stamp_of(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return {};
  return {static_cast<uint64_t>(info.st_size),
          int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec};
}

TarIndex::TarIndex(Found found)
    : held_(std::move(found.starts)), compressed_(found.compressed), last_cut_(found.last_cut) {
  if (held_.empty()) held_.push_back(0);
  starts_ = held_;
}

TarIndex::~TarIndex() {
  if (map_) --maps_held;
}

std::unique_ptr<const TarIndex> TarIndex::load(const fs::path& path, const FileStamp& stamp) {
  std::error_code none;
  if (!fs::is_regular_file(path, none)) return nullptr;
  std::unique_ptr<TarIndex> index(new TarIndex);
  try {
    index->map_.emplace(path);
    ++maps_held;
  } catch (const Error&) {  // no rights, no room for maps: it is made anew
    return nullptr;
  }
  const auto bytes = index->map_->bytes();
  IndexHeader header;
  const IndexHeader known;
  if (bytes.size() < sizeof header) return nullptr;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.magic != known.magic || header.version != known.version ||
      FileStamp{header.tar_bytes, header.tar_modified_ns} != stamp ||
      header.samples >= bytes.size() ||
      bytes.size() != sizeof header + (header.samples + 1) * sizeof(uint32_t)) {
    return nullptr;
  }
  index->starts_ = {reinterpret_cast<const uint32_t*>(bytes.data() + sizeof header),
                    static_cast<size_t>(header.samples + 1)};
  if (checksum_of(header, index->starts_) != header.checksum) return nullptr;
  index->compressed_ = (header.flags & kCompressed) != 0;
  index->last_cut_ = (header.flags & kLastCut) != 0;
  if (maps_held > kMostMaps) {
    index->held_.assign(index->starts_.begin(), index->starts_.end());
    index->starts_ = index->held_;
    index->map_.reset();
    --maps_held;
  } else {
    // The pages stay in the kernel's cache; the process lets go of what only the checksum read.
    auto* begin = const_cast<std::byte*>(bytes.data());
    ::madvise(begin, bytes.size(), MADV_DONTNEED);
    ::madvise(begin, bytes.size(), MADV_RANDOM);
  }
  return index;
}

bool TarIndex::save(const fs::path& path, const FileStamp& stamp) const {
  const int64_t now = std::chrono::duration_cast<std::chrono::nanoseconds>(
                          std::chrono::system_clock::now().time_since_epoch())
                          .count();
  if (samples() < kFewestKept || stamp.modified_ns > now - kRestlessNs) return true;
  IndexHeader header;
  header.flags = (compressed_ ? kCompressed : 0U) | (last_cut_ ? kLastCut : 0U);
  header.tar_bytes = stamp.bytes;
  header.tar_modified_ns = stamp.modified_ns;
  header.samples = static_cast<uint64_t>(samples());
  header.checksum = checksum_of(header, starts_);
  // No fsync, unlike AtomicFile: what a power cut leaves fails the checksum and is made anew, and
  // ten thousand shards would wait for the disk ten thousand times.
  const fs::path temporary = temporary_beside(path);
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return false;
  const bool written = write_whole(fd, &header, sizeof header) &&
                       write_whole(fd, starts_.data(), starts_.size_bytes());
  const bool closed = ::close(fd) == 0;
  if (written && closed && ::rename(temporary.c_str(), path.c_str()) == 0) return true;
  ::unlink(temporary.c_str());
  return false;
}

}  // namespace opencloc

// SHARD.tar.idx: where every sample of a shard begins, so that a shard is opened without walking
// over its headers, and so that the places take no memory of the process: the file is mapped, and
// all processes of a machine share its pages.
//
// It is never believed blindly: size and time of the tar, the file's length and a checksum must
// fit, else it is made anew. A place that leads nowhere costs its sample (BadSample), nothing more.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "opencloc/base/files.h"

namespace opencloc {

// What tells one state of a file from another.
struct FileStamp {
  uint64_t bytes = 0;
  int64_t modified_ns = 0;
  bool operator==(const FileStamp&) const = default;
};
FileStamp stamp_of(int fd);

// Thread-safe once made.
class TarIndex {
 public:
  // What a walk over the shard finds.
  struct Found {
    std::vector<uint32_t> starts;  // of the samples, and the end; in blocks of 512 bytes
    bool compressed = false;       // the places are those in the unpacked tar
    bool last_cut = false;         // the tar stops inside its last sample
  };
  explicit TarIndex(Found found);
  TarIndex(TarIndex&&) = delete;
  ~TarIndex();

  // The index in the file `path`, where it is one of a shard of this stamp; else null.
  static std::unique_ptr<const TarIndex> load(const std::filesystem::path& path,
                                              const FileStamp& stamp);
  // Writes it, whole or not at all. False where that cannot be done (a folder that is read only).
  // An index that could lie is not kept, and true is returned: of a shard that has just changed
  // (its next change may not change its time), and of few samples (not worth a file).
  bool save(const std::filesystem::path& path, const FileStamp& stamp) const;

  int64_t samples() const { return static_cast<int64_t>(starts_.size()) - 1; }
  uint64_t begin(int64_t i) const { return uint64_t{starts_[static_cast<size_t>(i)]} * kBlock; }
  uint64_t end(int64_t i) const { return begin(i + 1); }
  bool cut(int64_t i) const { return last_cut_ && i + 1 == samples(); }
  bool compressed() const { return compressed_; }
  bool mapped() const { return map_.has_value(); }

  static constexpr uint64_t kBlock = 512;      // of a tar
  static constexpr int64_t kFewestKept = 256;  // samples of a shard whose index is written

 private:
  TarIndex() = default;

  std::optional<MappedFile> map_;  // one of the two holds the places
  std::vector<uint32_t> held_;
  std::span<const uint32_t> starts_;
  bool compressed_ = false;
  bool last_cut_ = false;
};

}  // namespace opencloc

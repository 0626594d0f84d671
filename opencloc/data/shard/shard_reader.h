// Reading shards: WebDataset tar files (ustar, gnu, pax; plain, .gz, .zst).
//
// Samples are numbered within a shard from 0, broken ones included, so that a number means the same
// sample however it is read, and a position can be saved and resumed. Nothing of a tar is ever
// written to disk under a name it chose; links, special and sparse members are refused; sizes are
// bounded by `max_member_bytes`.
//
// A shard is named by its path, or as pipe:, http(s):// or s3:// (remote/remote_names.h): it is
// then fetched into the cache (remote/cache.h) when it is opened, and again if it has gone from
// there.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "opencloc/data/shard/record.h"
#include "opencloc/data/shard/skips.h"
#include "opencloc/data/shard/tar_index.h"

namespace opencloc {

class LocalShard;

struct ShardOptions {
  // A shard that cannot be opened or read on is counted (skip::kBadShard) and left, not an Error.
  bool skip_bad_shards = false;
  // Fill Record::others, for tools that rewrite shards.
  bool keep_other_members = false;
  uint64_t max_member_bytes = uint64_t{1} << 30;
};

// One shard from front to back. Not thread-safe.
class ShardReader {
 public:
  // Throws Error (input) when the file cannot be opened or is no tar, unless skip_bad_shards.
  // `skips` outlives the reader.
  ShardReader(std::string path, SkipCounter& skips, ShardOptions options = {});
  ~ShardReader();

  // The next good sample; broken ones are counted and passed over. False at the end of the shard.
  // The picture is not decoded here. Throws Error (input) when the shard is damaged midway, unless
  // skip_bad_shards; a last member that is cut short is only a skipped sample. Samples from number
  // `end` on are not looked at: false, too, where there is no good one before it.
  bool next(Record& record, int64_t end = std::numeric_limits<int64_t>::max());
  // Number, within the shard, of the sample after the one next() returned last.
  int64_t position() const { return position_; }
  // Passes over `count` samples, good or broken, without parsing them.
  void skip(int64_t count);
  // "shard.tar#key" of the sample next() returned last, for logs.
  const std::string& name() const { return name_; }

 private:
  std::string path_;
  SkipCounter& skips_;
  ShardOptions options_;
  struct Open;
  template <typename Step>
  bool guarded(const Step& step);
  std::unique_ptr<Open> open_;  // null once the shard was left as damaged
  int64_t position_ = 0;
  std::string name_;
};

// One shard, any sample by number. Keeps one file open: the process's limit on open files is raised
// as far as allowed. Where its samples begin stands in a mapped index (tar_index.h), which is made
// at the first opening. A compressed shard is unpacked once into an unlinked temporary file (in
// $TMPDIR), so keep only a few of those open. Of a remote plain shard no file is kept open: it may
// go from the cache, and is fetched again for the next sample. Thread-safe once constructed.
class ShardFile {
 public:
  // Scans the members' headers (plain .tar: no data is read) where there is no index yet. Throws
  // Error (input) when the shard cannot be opened or is damaged midway; with skip_bad_shards it
  // holds what came before.
  ShardFile(std::string path, SkipCounter& skips, ShardOptions options = {});
  ~ShardFile();
  ShardFile(ShardFile&& other) noexcept;

  const std::string& path() const { return path_; }
  // All samples, broken ones included.
  int64_t samples() const { return index_ ? index_->samples() : 0; }
  // Bytes that all samples take in the tar.
  uint64_t bytes() const;
  // Throws BadSample.
  Record read(int64_t i) const;

 private:
  void open(SkipCounter& skips);
  void read_at(uint64_t offset, std::string& bytes, const std::string& where) const;

  std::string path_;
  ShardOptions options_;
  std::shared_ptr<const LocalShard> file_;  // null: a remote shard that is opened for each sample
  FileStamp stamp_;                         // of the file that the index is of
  int unpacked_ = -1;                       // the tar of a compressed shard
  std::unique_ptr<const TarIndex> index_;   // null: nothing can be read
};

// How many samples each shard of a list holds: a global order of samples, the base of shuffling.
class ShardIndex {
 public:
  // Counts the samples of every shard, `threads` shards at a time. With skip_bad_shards a shard
  // that cannot be opened counts 0 samples.
  ShardIndex(std::vector<std::string> paths, int threads, SkipCounter& skips,
             ShardOptions options = {});

  struct Place {
    int64_t shard;   // index into paths()
    int64_t sample;  // within that shard
  };
  int64_t size() const { return starts_.back(); }
  int64_t shards() const { return static_cast<int64_t>(paths_.size()); }
  const std::vector<std::string>& paths() const { return paths_; }
  int64_t samples_in(int64_t shard) const {
    return starts_[static_cast<size_t>(shard) + 1] - starts_[static_cast<size_t>(shard)];
  }
  // The global number of a shard's first sample.
  int64_t first_of(int64_t shard) const { return starts_[static_cast<size_t>(shard)]; }
  Place locate(int64_t sample) const;

 private:
  std::vector<std::string> paths_;
  std::vector<int64_t> starts_;  // shards + 1
};

// Number of samples in one shard, broken ones included.
int64_t count_samples(const std::string& path, SkipCounter& skips, ShardOptions options = {});

}  // namespace opencloc

// Writing shards: plain ustar (pax headers only where a name needs them), with headers that depend
// on the records alone, so equal records make equal bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "opencloc/data/shard/record.h"

namespace opencloc {

// One shard, written beside and renamed by commit(); destroyed without it, nothing is left behind.
// ".tar.gz" and ".tar.zst" names compress. Write errors (disk full, ...) throw Error (failed).
class ShardWriter {
 public:
  explicit ShardWriter(const std::filesystem::path& path);
  ~ShardWriter();
  ShardWriter(ShardWriter&&) noexcept;

  // KEY.EXTENSION, KEY.txt when there is an alt-text, KEY.json, then `others`. Keys must be as
  // safe_key() makes them, and differ from the key before: Error (input) otherwise.
  void write(const Record& record);
  int64_t samples() const;
  // Writes everything to the disk; after it only the renaming of commit() can fail.
  void finish();
  // finish(), where that was not done, and the name.
  void commit();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

struct ShardSetOptions {
  int64_t samples_per_shard = 10'000;
  // Shards already in the folder are an Error (input); with overwrite, commit() replaces them.
  bool overwrite = false;
};

// A folder of shards 00000.tar, 00001.tar, ... that appear together at commit(). Until then they
// lie in a hidden folder inside it, which is removed if commit() is not reached. A process that is
// killed leaves the old shards or the new ones (publish_files): expand_glob() of the folder gives
// one of the two sets, whole, and the next ShardSetWriter here puts everything in its place.
class ShardSetWriter {
 public:
  explicit ShardSetWriter(std::filesystem::path folder, ShardSetOptions options = {});
  ~ShardSetWriter();
  ShardSetWriter(const ShardSetWriter&) = delete;
  ShardSetWriter& operator=(const ShardSetWriter&) = delete;

  void write(const Record& record);
  void commit();
  int64_t samples() const { return samples_; }
  int64_t shards() const { return static_cast<int64_t>(names_.size()); }

 private:
  std::filesystem::path folder_;
  std::filesystem::path hidden_;
  ShardSetOptions options_;
  bool created_folder_ = false;
  std::unique_ptr<ShardWriter> current_;
  std::vector<std::string> names_;
  int64_t samples_ = 0;
};

}  // namespace opencloc

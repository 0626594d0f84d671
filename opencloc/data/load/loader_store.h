// All samples of the data sources, each addressed by (source, number). Plain .tar shards are read
// in place; compressed ones are unpacked once into unlinked temporary files, so that every sample
// can be reached at random and an epoch's shuffle is a full one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/data/shard/record.h"
#include "opencloc/data/shard/shard_reader.h"
#include "opencloc/data/shard/skips.h"

namespace opencloc {

struct StoreOptions {
  int threads = 1;  // shards indexed at a time
  bool skip_bad_shards = false;
};

// Thread-safe once constructed. Keeps one file open per shard (ShardFile raises the limit on open
// files as far as allowed). Where the samples lie stands in mapped indexes (tar_index.h), which
// take no memory of the process.
class SampleStore {
 public:
  // `data`: GLOB[::GLOB...], one source each. Throws Error (input) for a glob without shards, a
  // shard that cannot be read (unless skip_bad_shards) and a source without samples.
  SampleStore(std::string_view data, SkipCounter& skips, const StoreOptions& options = {});

  int sources() const { return static_cast<int>(sources_.size()); }
  uint64_t size(int source) const { return sources_[source].starts.back(); }
  std::vector<uint64_t> sizes() const;
  uint64_t total() const;
  uint64_t bytes() const;  // of all samples in their tars

  // Throws BadSample.
  Record read(int source, uint64_t index) const;
  // "shard.tar#key" for logs; the key comes from the record.
  std::string name(int source, uint64_t index, std::string_view key) const;

 private:
  struct Source {
    std::vector<ShardFile> shards;
    std::vector<uint64_t> starts;  // first sample's number of every shard, and the end
  };
  struct Place {
    const ShardFile* shard;
    int64_t sample;
  };
  Place locate(int source, uint64_t index) const;
  void warn_of_small_cache() const;
  std::vector<Source> sources_;
};

}  // namespace opencloc

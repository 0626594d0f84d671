#include "opencloc/data/load/loader_store.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/log.h"
#include "opencloc/base/parallel_for.h"
#include "opencloc/data/remote/cache.h"
#include "opencloc/data/remote/remote_names.h"
#include "opencloc/data/shard/find_shards.h"

namespace opencloc {

SampleStore::SampleStore(std::string_view data, SkipCounter& skips, const StoreOptions& options) {
  for (const auto& pattern : split_patterns(data)) {
    const ShardOptions shard_options{.skip_bad_shards = options.skip_bad_shards};
    const auto paths = find_shards(pattern, shard_options, skips);
    std::vector<std::optional<ShardFile>> opened(paths.size());
    parallel_for(static_cast<int64_t>(paths.size()), options.threads,
                 [&](int64_t i) { opened[i].emplace(paths[i], skips, shard_options); });
    Source& source = sources_.emplace_back();
    source.starts.push_back(0);
    for (auto& shard : opened) {
      source.starts.push_back(source.starts.back() + static_cast<uint64_t>(shard->samples()));
      source.shards.push_back(std::move(*shard));
    }
    if (source.starts.back() == 0) {
      throw Error::input("no sample in the shards", pattern, "check the data (data stats)");
    }
  }
  warn_of_small_cache();
}

// Every place of a full shuffle may lie in another shard.
void SampleStore::warn_of_small_cache() const {
  uint64_t remote = 0;
  for (const auto& source : sources_) {
    for (const auto& shard : source.shards) remote += is_remote(shard.path()) ? shard.bytes() : 0;
  }
  const uint64_t cache = shard_cache_options().bytes;
  if (remote <= cache) return;
  log::warn(
      "the shards of other machines have {:.1f} GB and the cache holds {:.1f} GB of them: samples "
      "at random fetch them again and again; raise the setting 'cache_gb'",
      static_cast<double>(remote) * 1e-9, static_cast<double>(cache) * 1e-9);
}

std::vector<uint64_t> SampleStore::sizes() const {
  std::vector<uint64_t> sizes;
  for (int i = 0; i < sources(); ++i) sizes.push_back(size(i));
  return sizes;
}

uint64_t SampleStore::total() const {
  const auto all = sizes();
  return std::accumulate(all.begin(), all.end(), uint64_t{0});
}

uint64_t SampleStore::bytes() const {
  uint64_t sum = 0;
  for (const auto& source : sources_) {
    for (const auto& shard : source.shards) sum += shard.bytes();
  }
  return sum;
}

SampleStore::Place SampleStore::locate(int source, uint64_t index) const {
  const auto& [shards, starts] = sources_[source];
  const auto after = std::upper_bound(starts.begin(), starts.end(), index);
  const auto shard = static_cast<size_t>(after - starts.begin()) - 1;
  return {&shards[shard], static_cast<int64_t>(index - starts[shard])};
}

Record SampleStore::read(int source, uint64_t index) const {
  const Place place = locate(source, index);
  return place.shard->read(place.sample);
}

std::string SampleStore::name(int source, uint64_t index, std::string_view key) const {
  return shard_file_name(locate(source, index).shard->path()) + "#" + std::string(key);
}

}  // namespace opencloc

// Which shards a --data means.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "opencloc/data/shard/shard_reader.h"
#include "opencloc/data/shard/skips.h"

namespace opencloc {

// expand_glob(), for shards: what is named and not there is an Error (input), or counted with
// skip_bad_shards (skip::kBadShard). Shards of other machines (remote_names.h) stay names, which
// ShardReader, ShardFile and count_samples() take like paths. Error (input) for other schemes.
std::vector<std::string> find_shards(std::string_view patterns, const ShardOptions& options,
                                     SkipCounter& skips);

}  // namespace opencloc

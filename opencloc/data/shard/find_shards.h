// Which shards a --data means.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "opencloc/data/shard/shard_reader.h"
#include "opencloc/data/shard/skips.h"

namespace opencloc {

// expand_glob(), for shards: what is named and not there is an Error (input), or counted with
// skip_bad_shards (skip::kBadShard). Error (input) for shards that are not files of this machine
// (s3://, https://, pipe:).
std::vector<std::string> find_shards(std::string_view patterns, const ShardOptions& options,
                                     SkipCounter& skips);

}  // namespace opencloc

#include "opencloc/data/shard/find_shards.h"

#include <algorithm>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/data/remote/remote_names.h"

namespace opencloc {
namespace {

void require_readable(const std::string& pattern) {
  const auto scheme = scheme_of(pattern);
  if (scheme.empty() || is_remote(pattern)) return;
  throw Error::input("shards of " + std::string(scheme) + ":// are not read", pattern,
                     scheme == "file" ? "write the path without file://"
                                      : "use 'pipe:COMMAND' with a command that writes the shard "
                                        "to its output, or s3://, https:// or a path");
}

std::vector<std::string> find_local(std::string_view patterns, const ShardOptions& options,
                                    SkipCounter& skips) {
  std::vector<std::string> missing;
  auto shards = expand_glob(patterns, options.skip_bad_shards ? &missing : nullptr);
  for (const auto& path : missing) skips.add(skip::kBadShard, path, "it is missing");
  // Globs like DIR/* also find the shards' indexes.
  std::erase_if(shards, [](const std::string& path) { return path.ends_with(".idx"); });
  if (shards.empty()) throw Error::input("no file matches", patterns, "check the pattern");
  return shards;
}

}  // namespace

std::vector<std::string> find_shards(std::string_view patterns, const ShardOptions& options,
                                     SkipCounter& skips) {
  const auto all = split_patterns(patterns);
  for (const auto& pattern : all) require_readable(pattern);
  if (std::ranges::none_of(all, [](const auto& pattern) { return is_remote(pattern); }))
    return find_local(patterns, options, skips);
  std::vector<std::string> shards;
  for (const auto& pattern : all) {
    for (auto& shard :
         is_remote(pattern) ? expand_remote(pattern) : find_local(pattern, options, skips))
      shards.push_back(std::move(shard));
  }
  return shards;
}

}  // namespace opencloc

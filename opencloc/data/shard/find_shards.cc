#include "opencloc/data/shard/find_shards.h"

#include <algorithm>
#include <cctype>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"

namespace opencloc {
namespace {

// "s3" of "s3://bucket/x.tar", "pipe" of "pipe:aws s3 cp ...": webdataset's ways to other machines.
std::string_view scheme_of(std::string_view pattern) {
  if (pattern.starts_with("pipe:")) return "pipe";
  const size_t end = pattern.find("://");
  if (end == std::string_view::npos || end == 0) return {};
  const auto scheme = pattern.substr(0, end);
  const bool letters = std::ranges::all_of(scheme, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '+' || c == '-' || c == '.' || c == '_';
  });
  return letters ? scheme : std::string_view();
}

void require_local(const std::string& pattern) {
  const auto scheme = scheme_of(pattern);
  if (scheme.empty()) return;
  throw Error::input("only files of this machine are read", pattern,
                     scheme == "file" ? "write the path without file://"
                                      : "copy the shards here, or mount them, and name the files");
}

}  // namespace

std::vector<std::string> find_shards(std::string_view patterns, const ShardOptions& options,
                                     SkipCounter& skips) {
  for (const auto& pattern : split_patterns(patterns)) require_local(pattern);
  if (!options.skip_bad_shards) return expand_glob(patterns);
  std::vector<std::string> missing;
  auto shards = expand_glob(patterns, &missing);
  for (const auto& path : missing) skips.add(skip::kBadShard, path, "it is missing");
  return shards;
}

}  // namespace opencloc

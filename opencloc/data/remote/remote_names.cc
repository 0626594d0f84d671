#include "opencloc/data/remote/remote_names.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>

#include <fnmatch.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/rng.h"
#include "opencloc/data/remote/s3.h"

namespace opencloc {
namespace {

constexpr std::array<std::string_view, 4> kShardEndings = {".tar", ".tar.gz", ".tar.zst", ".tgz"};

bool ends_like_shard(std::string_view name) {
  return std::ranges::any_of(kShardEndings,
                             [&](std::string_view ending) { return name.ends_with(ending); });
}

bool has_glob(std::string_view key) { return key.find_first_of("*?[") != std::string_view::npos; }

std::vector<std::string> expand_s3(const std::string& pattern) {
  const S3Name name = split_s3(pattern);
  if (!name.key.empty() && !name.key.ends_with('/') && !has_glob(name.key)) return {pattern};
  const std::string wanted =
      name.key.empty() || name.key.ends_with('/') ? name.key + "*" : name.key;
  const bool any_shard = wanted != name.key;
  std::vector<std::string> found;
  for (const auto& key : list_s3(name.bucket, wanted.substr(0, wanted.find_first_of("*?[")))) {
    if (any_shard && !ends_like_shard(key)) continue;
    if (::fnmatch(wanted.c_str(), key.c_str(), FNM_PATHNAME) != 0) continue;
    found.push_back("s3://" + name.bucket + "/" + key);
  }
  if (found.empty()) throw Error::input("no shard matches", pattern, "check bucket and key");
  std::ranges::sort(found);
  return found;
}

// The last part of what stands before a query.
std::string last_of_path(std::string_view text) {
  text = text.substr(0, text.find_first_of("?#"));
  const size_t slash = text.find_last_of('/');
  return std::string(slash == std::string_view::npos ? text : text.substr(slash + 1));
}

std::string name_in_command(const std::string& command) {
  std::string_view rest = command;
  std::string found;
  while (!rest.empty()) {
    const size_t end = std::min(rest.size(), rest.find_first_of(" \t\n'\"|;<>()="));
    const std::string part = last_of_path(rest.substr(0, end));
    if (ends_like_shard(part)) found = part;
    rest.remove_prefix(std::min(rest.size(), end + 1));
  }
  return found.empty() ? "pipe-" + hash_of_name(command) + ".tar" : found;
}

}  // namespace

std::string_view scheme_of(std::string_view name) {
  if (name.starts_with("pipe:")) return "pipe";
  const size_t end = name.find("://");
  if (end == std::string_view::npos || end == 0) return {};
  const auto scheme = name.substr(0, end);
  const bool letters = std::ranges::all_of(scheme, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '+' || c == '-' || c == '.' || c == '_';
  });
  return letters ? scheme : std::string_view();
}

bool is_remote(std::string_view name) {
  const auto scheme = scheme_of(name);
  return scheme == "pipe" || scheme == "http" || scheme == "https" || scheme == "s3";
}

std::vector<std::string> expand_remote(const std::string& pattern) {
  const bool command = scheme_of(pattern) == "pipe";
  std::vector<std::string> shards;
  for (const auto& name : expand_braces(pattern, command ? Braces::kRanges : Braces::kAll)) {
    if (scheme_of(name) == "s3") {
      for (auto& shard : expand_s3(name)) shards.push_back(std::move(shard));
    } else if (!command && name.find('*') != std::string::npos) {
      throw Error::input("an HTTP server gives no list of its files", shown_name(name),
                         "count them with {000..123}");
    } else {
      shards.push_back(name);
    }
  }
  return shards;
}

std::string shard_file_name(const std::string& shard) {
  const auto scheme = scheme_of(shard);
  if (scheme == "pipe") return name_in_command(shard.substr(5));
  if (!is_remote(shard)) return std::filesystem::path(shard).filename().string();
  const std::string name = scheme == "s3" ? std::filesystem::path(shard).filename().string()
                                          : last_of_path(shard.substr(shard.find("://") + 3));
  return name.empty() || name == "." || name == ".." ? hash_of_name(shard) + ".tar" : name;
}

std::string shown_name(const std::string& name) {
  const auto scheme = scheme_of(name);
  if (scheme != "http" && scheme != "https") return name;
  std::string shown = name.substr(0, name.find_first_of("?#"));
  const size_t host = scheme.size() + 3, end = std::min(shown.size(), shown.find('/', host));
  const size_t at = shown.substr(0, end).rfind('@');
  return at == std::string::npos || at < host ? shown : shown.erase(host, at + 1 - host);
}

std::string hash_of_name(std::string_view name) {
  uint64_t hash = name.size();
  for (const char c : name) hash = mix64(hash ^ static_cast<unsigned char>(c));
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (int shift = 60; shift >= 0; shift -= 4) text += kDigits[hash >> shift & 15];
  return text;
}

}  // namespace opencloc

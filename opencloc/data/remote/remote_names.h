// Names of shards that lie on other machines: pipe:COMMAND, http://, https:// and s3://BUCKET/KEY.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace opencloc {

// "s3" of "s3://bucket/x.tar", "pipe" of "pipe:COMMAND"; empty for a file.
std::string_view scheme_of(std::string_view name);
// Whether it is one of the four that are read.
bool is_remote(std::string_view name);

// The shards that a remote pattern means. {000..123} counts everywhere; {a,b} lists, but not in
// commands. An s3:// name that ends with '/' means the shards directly below, and *, ?, [] match
// within a part of the key: both ask the server for a list. Throws Error.
std::vector<std::string> expand_remote(const std::string& pattern);

// The file name that a shard goes by: the last part of its path or key; of a command the last word
// that ends like a shard.
std::string shard_file_name(const std::string& shard);

// A remote name for messages: without the query, which may hold a signature, and without a
// password.
std::string shown_name(const std::string& name);

// 16 hexadecimal digits that stand for a name.
std::string hash_of_name(std::string_view name);

}  // namespace opencloc

// Downloads over HTTP(S), with retries.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace opencloc {

// How S3 signs a request; no signature with an empty `id`.
struct Signing {
  std::string region, id, secret, token;
};

struct HttpPlace {
  std::string url;
  std::string shown;  // for messages
  bool s3 = false;    // signed with `signing`; no other server is gone to
  Signing signing;
};

struct RetryOptions {
  int attempts = 6;         // without progress, before it is given up
  double first_wait = 0.5;  // seconds; doubled from attempt to attempt
  int stall_seconds = 60;   // less than 1 kB/s for so long counts as a cut
};

// What tells one state of a file on a server from another.
struct RemoteVersion {
  uint64_t bytes = 0;
  std::string etag, modified;
  bool operator==(const RemoteVersion&) const = default;
};

enum class Known { kYes, kNo, kUnknown };
// Whether the server still has this version; kUnknown when it cannot be asked. One attempt.
Known still_there(const HttpPlace& place, const RemoteVersion& version, const RetryOptions& retry);

// Writes the whole file from the start of `fd`. `reserve` is told the size as soon as it is known.
// 408, 429, 5xx, cut connections and wrong lengths are tried again from where they stopped; a file
// that changes meanwhile is begun anew. Throws Error: input for what the server does not have or
// give, failed when the attempts run out.
RemoteVersion download(const HttpPlace& place, int fd, const RetryOptions& retry,
                       const std::function<void(uint64_t bytes)>& reserve);

// A small answer as text, with the same retries.
std::string download_text(const HttpPlace& place, const RetryOptions& retry);

}  // namespace opencloc

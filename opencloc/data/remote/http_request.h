// One HTTP request and its answer. The only source that knows libcurl.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "opencloc/data/remote/http.h"

namespace opencloc {

struct HttpReply {
  long status = 0;
  std::optional<uint64_t> length;              // of the body
  std::optional<uint64_t> range_first, total;  // of Content-Range
  std::string etag, modified, bucket_region;
  std::string complaint;  // the start of an error's body
  std::string trouble;    // what libcurl says; empty: the answer came whole
  bool hopeless = false;  // the same will be said again: no such scheme, a wrong certificate, ...
  bool cut = false;       // fewer bytes came than were announced

  bool gives_file() const { return status == 200 || status == 206; }
};

enum class HttpMethod { kGet, kHeaders };

struct HttpRequest {
  HttpMethod method = HttpMethod::kGet;
  uint64_t from = 0;       // the first byte that is wanted
  int stall_seconds = 60;  // RetryOptions
};

// Sends it and hands the bytes of a file (not of an error) to `take`, which ends the transfer with
// false and must not throw. Connections are kept per thread. Throws only for want of memory.
HttpReply perform(const HttpPlace& place, const HttpRequest& request,
                  std::function<bool(const HttpReply&, std::string_view)> take);

}  // namespace opencloc

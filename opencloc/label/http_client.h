// HTTP requests with a deadline, behind this file alone (cpp-httplib).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace opencloc {

struct HttpOptions {
  double seconds = 60;  // for the whole exchange, whatever trickles in
  double connect_seconds = 5;
  uint64_t max_bytes = 1 << 20;  // of an answer; a longer one is an error
  std::string bearer_token;      // "Authorization: Bearer ..."; empty = none
};

// What came of a request. Never an exception: every failure is an answer of its own.
struct HttpAnswer {
  int status = 0;  // 0: no answer came
  std::string body;
  std::string error;       // why there is no answer: "timed out", "cannot connect", ...
  double retry_after = 0;  // seconds the server asked to wait; 0 = it did not
};

// Thread-safe: a connection a request.
class HttpClient {
 public:
  // `url`: http://host:port/v1, https:// too. Throws Error (input) when it is none.
  HttpClient(std::string_view url, HttpOptions options);
  // `path` is added to the URL's own.
  HttpAnswer post_json(const std::string& path, const std::string& body) const;

 private:
  std::string host_;  // scheme://host:port
  std::string base_;  // path of the URL, without the slash at its end
  HttpOptions options_;
};

}  // namespace opencloc

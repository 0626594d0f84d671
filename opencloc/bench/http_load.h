// A load on an HTTP server: clients that each wait for an answer before they ask again.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace opencloc::bench {

struct HttpPlace {
  std::string host = "127.0.0.1";  // an address
  int port = 0;
  std::string prefix;  // of every path
  std::string key;     // empty: none is sent
};
// Of "http://127.0.0.1:1234/prefix". Throws Error (input) for what is none.
HttpPlace parse_http_place(const std::string& address);

struct HttpQuestion {
  std::string method = "POST", path, body, type = "application/json";
};
struct HttpReply {
  int status = 0;
  std::string body;
};

// One connection, which stays open. Not thread-safe.
class HttpClient {
 public:
  // Throws Error (failed) when nobody listens there.
  explicit HttpClient(const HttpPlace& place);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  // Throws Error (failed) when the connection ends before the whole answer.
  HttpReply ask(const HttpQuestion& question);

 private:
  void read_more();
  const HttpPlace place_;
  int socket_ = -1;
  std::string got_;
};

struct HttpLoad {
  double seconds = 0;
  int64_t answered = 0, refused = 0;  // 2xx; anything else, and connections that broke
  std::vector<double> milliseconds;   // of those answered, in order
  double percentile(double share) const;
};
// `clients` connections, a thread each, for about `seconds`. `question` is given a number that no
// other request of this load has; it is called by all threads.
HttpLoad load_http(const HttpPlace& place, int clients, double seconds,
                   const std::function<HttpQuestion(int64_t number)>& question);

}  // namespace opencloc::bench

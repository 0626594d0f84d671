// Sockets: requests in, answers out. One thread for all of them; none of a connection's own.
//
// What arrives is not trusted. The whole head and the whole body have a time by which they must be
// there, however slowly bytes drip in; both have a size, which chunks do not get around; the number
// of connections, of an address's and of all, is limited, and so are the bytes of bodies that are
// held. Compressed bodies are refused.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "opencloc/serve/http.h"

namespace opencloc::serve {

struct HttpLimits {
  uint64_t head_bytes = 16 << 10;
  uint64_t target_bytes = 8 << 10;
  uint64_t body_bytes = 20 << 20;
  uint64_t all_body_bytes = 512 << 20;  // of requests that are read or being answered
  // Of answers that are being written. Beyond it those are closed that were begun first, if that
  // was least_write_time ago: clients that ask for much and read slowly.
  uint64_t all_answer_bytes = 64 << 20;
  int connections = 1024;
  int per_address = 64;  // 0 = no limit: all clients come through one proxy
  std::chrono::milliseconds head_time{10'000};
  std::chrono::milliseconds body_time{30'000};
  std::chrono::milliseconds answer_time{30'000};  // from the last byte of a request to its answer
  std::chrono::milliseconds write_time{30'000};
  std::chrono::milliseconds least_write_time{2'000};
  std::chrono::milliseconds idle_time{30'000};  // between the requests of a connection
};

struct HttpServerOptions {
  std::string host = "127.0.0.1";  // an address, no name
  int port = 0;                    // 0 = one that is free
  std::string socket;              // a path: a Unix socket in place of host and port
  HttpLimits limits;
  // Seconds that stop() gives to requests which have begun.
  std::chrono::milliseconds drain_time{10'000};
  bool on_signals = false;  // SIGINT and SIGTERM stop(); a second one ends the process at once
};

// A request's way back. Thread-safe.
class Answer {
 public:
  virtual ~Answer() = default;
  // Once; later calls do nothing.
  virtual void send(HttpResponse response) = 0;
  // Nobody waits any more: the client has left, or was told that it takes too long.
  virtual bool abandoned() const = 0;
};

struct HttpCounts {
  std::atomic<int64_t> connections = 0;  // now
  std::atomic<int64_t> accepted = 0, refused = 0, timed_out = 0;
  std::atomic<int64_t> cut_off = 0;  // while they read: too slowly, and much was held for all
  std::atomic<int64_t> body_bytes = 0, answer_bytes = 0;  // held now
};

class HttpServer {
 public:
  struct Handler {
    // Called on the sockets' thread once the head is there, before the body is read. An answer
    // here ends the matter, and the connection when there is a body.
    std::function<std::optional<HttpResponse>(const HttpRequest& head)> look_at_head;
    // Called on the sockets' thread with whole requests; must return at once.
    std::function<void(HttpRequest request, std::shared_ptr<Answer> answer)> handle;
    // Added to every answer, also to those of the server itself.
    Headers headers = {};
    // Called on the sockets' thread when stop() begins.
    std::function<void()> stopping = {};
  };
  struct Impl;
  // Listens from now on. Throws Error (input) for an address that cannot be taken.
  HttpServer(HttpServerOptions options, Handler handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;

  int port() const;
  const HttpCounts& counts() const;
  // Works until stop(): no new connections, what has begun is finished. False when the time for
  // that was over before.
  bool run();
  // From any thread.
  void stop();
  // Milliseconds since the sockets' thread last came round: it does so twice a second at least.
  int64_t milliseconds_since_turn() const;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace opencloc::serve

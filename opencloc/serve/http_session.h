// A connection of HttpServer: its requests one after another, each with its times and sizes.
#pragma once

#include <optional>

#include "opencloc/serve/http_server_impl.h"

namespace opencloc::serve {

// Everything happens on the sockets' thread.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(HttpServer::Impl& server, Socket socket, std::string address);
  ~Session();

  void wait_for_request();
  void stop_waiting();
  void answer(uint64_t number, HttpResponse response);
  void close();
  // Since when, in now_ms(), the answer at hand is being written.
  int64_t writing_since() const { return writing_since_; }

 private:
  // Ends what the socket does when the time is over.
  void arm(milliseconds time);
  void disarm();
  // Nobody waits for the answer at hand any more.
  void give_up();
  void release_body();
  void release_answer();

  void read_head();
  void on_head(error_code error);
  bool has_body() const;
  bool reserve_body();
  void read_body();
  void on_bad_read(error_code error);
  void dispatch();
  void watch_client();

  void answer_late();
  void refuse(const HttpError& error);
  void write(HttpResponse response);
  // Our end is closed; what the client still sends is thrown away, so that it gets to read.
  void linger();
  void throw_away();

  HttpServer::Impl& server_;
  const HttpLimits& limits_;
  Socket socket_;
  asio::steady_timer timer_;
  const std::string address_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::optional<http::response<http::string_body>> response_;
  HttpRequest request_;
  std::shared_ptr<std::atomic<bool>> abandoned_;  // of the request that is being answered
  uint64_t number_ = 0;                           // of the request
  uint64_t armed_ = 0;
  int64_t reserved_ = 0;      // of counts.body_bytes
  int64_t answer_bytes_ = 0;  // of counts.answer_bytes
  int64_t writing_since_ = 0;
  std::optional<std::list<Session*>::iterator> writing_;  // its place in the server's list
  size_t lingered_ = 0;
  bool waiting_ = false;  // between requests
  bool asked_ = false;    // a request was handed over and is not answered
  bool head_only_ = false, timed_out_ = false;
};

}  // namespace opencloc::serve

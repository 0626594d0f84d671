#include "opencloc/serve/http_session.h"

#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>

#include <sys/socket.h>

#include "opencloc/base/log.h"

namespace opencloc::serve {
namespace {

constexpr size_t kReadAtATime = 16 << 10;
constexpr size_t kBufferBytes = 256 << 10;
// What a refused client may still send before the connection is cut: it reads our answer only after
// that.
constexpr size_t kLingerBytes = 1 << 20;
constexpr milliseconds kLingerTime{2'000};
// Smaller answers fit in what the system holds of a connection.
constexpr size_t kLargeAnswer = 64 << 10;

// No text of a request may begin a line of its own in an answer's head.
std::string on_one_line(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return text;
}

HttpError too_large(uint64_t limit) {
  return {.status = 413,
          .message = "the body is larger than " + std::to_string(limit) +
                     " bytes: send less, or raise the server's setting 'max_body'",
          .type = "request_too_large"};
}

// A request that was handed over.
class Exchange : public Answer {
 public:
  Exchange(std::shared_ptr<HttpServer::Impl> server, std::weak_ptr<Session> session,
           uint64_t number, std::shared_ptr<std::atomic<bool>> abandoned)
      : server_(std::move(server)),
        session_(std::move(session)),
        number_(number),
        abandoned_(std::move(abandoned)) {}
  // Whoever drops a request without an answer has a fault; the client is not left waiting.
  ~Exchange() override {
    if (!sent_)
      send(error_response({.status = 500, .message = "internal error", .type = "server_error"}));
  }
  void send(HttpResponse response) override {
    if (sent_.exchange(true)) return;
    asio::post(server_->io,
               [session = session_, number = number_, answer = std::move(response)]() mutable {
                 if (const auto alive = session.lock()) alive->answer(number, std::move(answer));
               });
  }
  bool abandoned() const override { return *abandoned_; }

 private:
  const std::shared_ptr<HttpServer::Impl> server_;
  const std::weak_ptr<Session> session_;
  const uint64_t number_;
  const std::shared_ptr<std::atomic<bool>> abandoned_;
  std::atomic<bool> sent_ = false;
};

}  // namespace

Session::Session(HttpServer::Impl& server, Socket socket, std::string address)
    : server_(server),
      limits_(server.options.limits),
      socket_(std::move(socket)),
      timer_(socket_.get_executor()),
      address_(std::move(address)),
      buffer_(kBufferBytes) {
  ++server_.counts.connections;
  ++server_.counts.accepted;
}

Session::~Session() {
  give_up();
  release_body();
  release_answer();
  --server_.counts.connections;
  server_.leave(this, address_);
}

void Session::wait_for_request() {
  if (server_.stopping) return close();
  waiting_ = true;
  if (buffer_.size() > 0) return read_head();
  arm(limits_.idle_time);
  socket_.async_read_some(buffer_.prepare(kReadAtATime),
                          [self = shared_from_this()](error_code error, size_t bytes) {
                            self->disarm();
                            if (error) return self->close();
                            self->buffer_.commit(bytes);
                            self->read_head();
                          });
}

void Session::stop_waiting() {
  if (waiting_) close();
}

void Session::answer(uint64_t number, HttpResponse response) {
  if (number != number_ || !asked_) return;
  write(std::move(response));
}

void Session::arm(milliseconds time) {
  timed_out_ = false;
  const uint64_t armed = ++armed_;
  timer_.expires_after(time);
  timer_.async_wait([self = shared_from_this(), armed](error_code error) {
    if (error || armed != self->armed_) return;
    self->timed_out_ = true;
    ++self->server_.counts.timed_out;
    if (self->asked_) return self->answer_late();
    error_code ignored;
    self->socket_.cancel(ignored);
  });
}

void Session::disarm() {
  ++armed_;
  timer_.cancel();
}

void Session::close() {
  disarm();
  give_up();
  release_answer();
  error_code ignored;
  socket_.shutdown(Socket::shutdown_both, ignored);
  socket_.close(ignored);
}

void Session::give_up() {
  if (abandoned_) *abandoned_ = true;
  abandoned_.reset();
  asked_ = false;
}

void Session::release_body() {
  server_.counts.body_bytes -= reserved_;
  reserved_ = 0;
}

void Session::release_answer() {
  server_.counts.answer_bytes -= answer_bytes_;
  answer_bytes_ = 0;
  if (writing_) server_.writing.erase(*writing_);
  writing_.reset();
}

void Session::refuse(const HttpError& error) {
  HttpResponse response = error_response(error);
  response.close = true;
  write(std::move(response));
}

void Session::read_head() {
  waiting_ = false;
  parser_.emplace();
  parser_->header_limit(static_cast<uint32_t>(limits_.head_bytes));
  parser_->body_limit(limits_.body_bytes);
  head_only_ = false;
  arm(limits_.head_time);
  http::async_read_header(socket_, buffer_, *parser_,
                          [self = shared_from_this()](error_code error, size_t) {
                            self->disarm();
                            self->on_head(error);
                          });
}

void Session::on_head(error_code error) {
  if (error) return on_bad_read(error);
  const auto& head = parser_->get();
  request_ = {};
  request_.method = std::string(head.method_string());
  request_.target = std::string(head.target());
  const size_t mark = request_.target.find('?');
  request_.path = request_.target.substr(0, mark);
  if (mark != std::string::npos) request_.query = request_.target.substr(mark + 1);
  for (const auto& field : head)
    request_.headers.emplace_back(lower(std::string(field.name_string())),
                                  std::string(field.value()));
  head_only_ = request_.method == "HEAD";
  if (request_.target.size() > limits_.target_bytes) {
    return refuse({.status = 414,
                   .message = "the address is longer than " + std::to_string(limits_.target_bytes) +
                              " bytes"});
  }
  if (request_.has_header("content-encoding")) {
    return refuse({.status = 415,
                   .message = "compressed bodies are not taken: send it as it is, without "
                              "Content-Encoding"});
  }
  if (request_.has_header("transfer-encoding") && request_.has_header("content-length"))
    return refuse(bad_request("a length and a transfer encoding cannot go together"));
  if (auto answer = server_.handler.look_at_head(request_)) {
    answer->close = answer->close || has_body();
    return write(std::move(*answer));
  }
  if (!reserve_body()) {
    return refuse(unavailable("too many large requests are being read at this moment", 2));
  }
  if (has_body() && lower(request_.header("expect")) == "100-continue") {
    static constexpr std::string_view kGoOn = "HTTP/1.1 100 Continue\r\n\r\n";
    arm(limits_.write_time);
    asio::async_write(socket_, asio::buffer(kGoOn.data(), kGoOn.size()),
                      [self = shared_from_this()](error_code failed, size_t) {
                        self->disarm();
                        if (failed) return self->close();
                        self->read_body();
                      });
    return;
  }
  read_body();
}

bool Session::has_body() const {
  return parser_ && !parser_->is_done() &&
         (parser_->chunked() || parser_->content_length().value_or(0) > 0);
}

bool Session::reserve_body() {
  if (!has_body()) return true;
  reserved_ = static_cast<int64_t>(parser_->content_length().value_or(limits_.body_bytes));
  server_.counts.body_bytes += reserved_;
  return server_.counts.body_bytes <= static_cast<int64_t>(limits_.all_body_bytes);
}

void Session::read_body() {
  arm(limits_.body_time);
  http::async_read(socket_, buffer_, *parser_,
                   [self = shared_from_this()](error_code error, size_t) {
                     self->disarm();
                     if (error) return self->on_bad_read(error);
                     self->dispatch();
                   });
}

void Session::on_bad_read(error_code error) {
  if (timed_out_) {
    return refuse(
        {.status = 408, .message = "the request took too long to arrive", .type = "timeout_error"});
  }
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return refuse(
        {.status = 431,
         .message = "the head is larger than " + std::to_string(limits_.head_bytes) + " bytes"});
  }
  if (error == http::error::body_limit) return refuse(too_large(limits_.body_bytes));
  const bool from_http =
      error.category() == http::make_error_code(http::error::bad_line_ending).category();
  if (from_http && error != http::error::end_of_stream && error != http::error::partial_message)
    return refuse(bad_request("this is not HTTP (" + error.message() + ")"));
  close();
}

void Session::watch_client() {
  socket_.async_wait(
      Socket::wait_read, [self = shared_from_this(), number = number_](error_code error) {
        if (error || number != self->number_ || !self->asked_) return;
        char byte = 0;
        const auto got = ::recv(self->socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        if (got == 0) self->close();
        // Else the client sends its next request already.
      });
}

void Session::answer_late() {
  give_up();
  HttpResponse late =
      error_response(unavailable("the answer took longer than the server waits for it", 5));
  late.close = true;
  asked_ = true;
  write(std::move(late));
}

void Session::write(HttpResponse response) {
  asked_ = false;
  abandoned_.reset();
  disarm();
  const bool keep = parser_ && parser_->get().keep_alive() && !response.close &&
                    !server_.stopping && parser_->is_done();
  auto& message = response_.emplace();
  message.version(11);
  message.result(static_cast<unsigned>(response.status));
  message.reason(reason_of(response.status));
  const bool bodiless = response.status == 204 || response.status == 304;
  if (!bodiless && !response.content_type.empty())
    message.set(http::field::content_type, on_one_line(response.content_type));
  for (const auto& [name, value] : server_.handler.headers) message.set(name, on_one_line(value));
  for (const auto& [name, value] : response.headers) message.set(name, on_one_line(value));
  message.keep_alive(keep);
  if (!bodiless) message.content_length(response.body.size());
  if (!head_only_ && !bodiless) message.body() = std::move(response.body);
  arm(limits_.write_time);
  if (message.body().size() >= kLargeAnswer) {
    answer_bytes_ = static_cast<int64_t>(message.body().size());
    writing_since_ = now_ms();
    server_.counts.answer_bytes += answer_bytes_;
    writing_ = server_.writing.insert(server_.writing.end(), this);
    server_.limit_answers();
  }
  http::async_write(socket_, message, [self = shared_from_this(), keep](error_code error, size_t) {
    self->disarm();
    self->response_.reset();
    self->release_answer();
    self->release_body();
    if (error) return self->close();
    if (!keep) return self->linger();
    self->parser_.reset();
    self->wait_for_request();
  });
}

void Session::linger() {
  error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
  arm(kLingerTime);
  lingered_ = buffer_.size();
  buffer_.consume(buffer_.size());
  throw_away();
}

void Session::throw_away() {
  socket_.async_read_some(buffer_.prepare(kReadAtATime),
                          [self = shared_from_this()](error_code error, size_t bytes) {
                            self->lingered_ += bytes;
                            if (error || self->lingered_ > kLingerBytes) return self->close();
                            self->throw_away();
                          });
}

void Session::dispatch() {
  request_.body = std::move(parser_->get().body());
  ++number_;
  asked_ = true;
  abandoned_ = std::make_shared<std::atomic<bool>>(false);
  arm(limits_.answer_time);
  if (buffer_.size() == 0) watch_client();
  auto answer =
      std::make_shared<Exchange>(server_.shared_from_this(), weak_from_this(), number_, abandoned_);
  try {
    server_.handler.handle(std::move(request_), answer);
  } catch (const std::exception& error) {
    log::error("a request failed: {}", error.what());
    answer->send(
        error_response({.status = 500, .message = "internal error", .type = "server_error"}));
  }
}

}  // namespace opencloc::serve

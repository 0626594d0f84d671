// The one file that knows Boost.Beast. Compiled apart from the rest of the module: it takes as
// long.
#include "opencloc/serve/http_server.h"

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <unordered_map>
#include <unordered_set>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"

namespace opencloc::serve {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using Protocol = asio::generic::stream_protocol;
using Socket = Protocol::socket;
using Acceptor = asio::basic_socket_acceptor<Protocol>;
using std::chrono::milliseconds;

constexpr size_t kReadAtATime = 16 << 10;
constexpr size_t kBufferBytes = 256 << 10;
// What a refused client may still send before the connection is cut: it reads our answer only after
// that.
constexpr size_t kLingerBytes = 1 << 20;
constexpr milliseconds kLingerTime{2'000};
constexpr milliseconds kTurn{250};

int64_t now_ms() {
  return std::chrono::duration_cast<milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::string address_of(const Socket& socket) {
  error_code error;
  const auto endpoint = socket.remote_endpoint(error);
  if (error) return {};
  char text[INET6_ADDRSTRLEN] = "";
  const auto* address = endpoint.data();
  if (address->sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, address, sizeof v4);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
  } else if (address->sa_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, address, sizeof v6);
    inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
  }
  return text;
}

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

}  // namespace

class Session;

struct HttpServer::Impl : std::enable_shared_from_this<HttpServer::Impl> {
  Impl(HttpServerOptions o, Handler h)
      : options(std::move(o)),
        handler(std::move(h)),
        acceptor(io),
        turn(io),
        drain(io),
        accept_again(io) {}

  void listen();
  void accept();
  void take_turn();
  void begin_stop();
  void leave(Session* session, const std::string& address);

  const HttpServerOptions options;
  const Handler handler;
  HttpCounts counts;
  std::atomic<int64_t> last_turn = now_ms();
  std::unordered_map<std::string, int> by_address;
  std::unordered_set<Session*> sessions;
  int port = 0;
  bool stopping = false, in_time = true, ended = false;
  // Destroyed first: sessions live in it.
  asio::io_context io{1};
  Acceptor acceptor;
  asio::steady_timer turn, drain, accept_again;
  std::unique_ptr<asio::signal_set> signals;
};

// A connection. Everything happens on the sockets' thread.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(HttpServer::Impl& server, Socket socket, std::string address)
      : server_(server),
        limits_(server.options.limits),
        socket_(std::move(socket)),
        timer_(socket_.get_executor()),
        address_(std::move(address)),
        buffer_(kBufferBytes) {
    ++server_.counts.connections;
    ++server_.counts.accepted;
  }
  ~Session() {
    give_up();
    release_body();
    --server_.counts.connections;
    server_.leave(this, address_);
  }

  void wait_for_request() {
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

  void stop_waiting() {
    if (waiting_) close();
  }

  void answer(uint64_t number, HttpResponse response) {
    if (number != number_ || !asked_) return;
    write(std::move(response));
  }

 private:
  friend class Exchange;

  // Ends what the socket does when the time is over.
  void arm(milliseconds time) {
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
  void disarm() {
    ++armed_;
    timer_.cancel();
  }

  void close() {
    disarm();
    give_up();
    error_code ignored;
    socket_.shutdown(Socket::shutdown_both, ignored);
    socket_.close(ignored);
  }

  void give_up() {
    if (abandoned_) *abandoned_ = true;
    abandoned_.reset();
    asked_ = false;
  }

  void release_body() {
    server_.counts.body_bytes -= reserved_;
    reserved_ = 0;
  }

  void refuse(const HttpError& error) {
    HttpResponse response = error_response(error);
    response.close = true;
    write(std::move(response));
  }

  void read_head() {
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

  void on_head(error_code error) {
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
                     .message = "the address is longer than " +
                                std::to_string(limits_.target_bytes) + " bytes"});
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

  bool has_body() const {
    return parser_ && !parser_->is_done() &&
           (parser_->chunked() || parser_->content_length().value_or(0) > 0);
  }

  bool reserve_body() {
    if (!has_body()) return true;
    reserved_ = static_cast<int64_t>(parser_->content_length().value_or(limits_.body_bytes));
    server_.counts.body_bytes += reserved_;
    return server_.counts.body_bytes <= static_cast<int64_t>(limits_.all_body_bytes);
  }

  void read_body() {
    arm(limits_.body_time);
    http::async_read(socket_, buffer_, *parser_,
                     [self = shared_from_this()](error_code error, size_t) {
                       self->disarm();
                       if (error) return self->on_bad_read(error);
                       self->dispatch();
                     });
  }

  void on_bad_read(error_code error) {
    if (timed_out_) {
      return refuse({.status = 408,
                     .message = "the request took too long to arrive",
                     .type = "timeout_error"});
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

  void dispatch();

  void watch_client() {
    socket_.async_wait(
        Socket::wait_read, [self = shared_from_this(), number = number_](error_code error) {
          if (error || number != self->number_ || !self->asked_) return;
          char byte = 0;
          const auto got = ::recv(self->socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
          if (got == 0) self->close();
          // Else the client sends its next request already.
        });
  }

  void answer_late() {
    give_up();
    HttpResponse late =
        error_response(unavailable("the answer took longer than the server waits for it", 5));
    late.close = true;
    asked_ = true;
    write(std::move(late));
  }

  void write(HttpResponse response) {
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
    http::async_write(socket_, message,
                      [self = shared_from_this(), keep](error_code error, size_t) {
                        self->disarm();
                        self->response_.reset();
                        self->release_body();
                        if (error) return self->close();
                        if (!keep) return self->linger();
                        self->parser_.reset();
                        self->wait_for_request();
                      });
  }

  // Our end is closed; what the client still sends is thrown away, so that it gets to read.
  void linger() {
    error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
    arm(kLingerTime);
    lingered_ = buffer_.size();
    buffer_.consume(buffer_.size());
    throw_away();
  }
  void throw_away() {
    socket_.async_read_some(buffer_.prepare(kReadAtATime),
                            [self = shared_from_this()](error_code error, size_t bytes) {
                              self->lingered_ += bytes;
                              if (error || self->lingered_ > kLingerBytes) return self->close();
                              self->throw_away();
                            });
  }

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
  int64_t reserved_ = 0;
  size_t lingered_ = 0;
  bool waiting_ = false;  // between requests
  bool asked_ = false;    // a request was handed over and is not answered
  bool head_only_ = false, timed_out_ = false;
};

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

void HttpServer::Impl::leave(Session* session, const std::string& address) {
  sessions.erase(session);
  const auto at = by_address.find(address);
  if (at != by_address.end() && --at->second == 0) by_address.erase(at);
  if (stopping && !ended && sessions.empty()) io.stop();
}

void HttpServer::Impl::listen() {
  const auto where =
      options.socket.empty() ? options.host + ":" + std::to_string(options.port) : options.socket;
  try {
    if (!options.socket.empty()) {
      struct stat info {};
      // A socket that a killed server has left.
      if (::lstat(options.socket.c_str(), &info) == 0 && S_ISSOCK(info.st_mode)) {
        Socket probe(io);
        error_code error;
        probe.connect(Protocol::endpoint(asio::local::stream_protocol::endpoint(options.socket)),
                      error);
        if (!error)
          throw Error::input("another server listens there", where, "choose another path");
        ::unlink(options.socket.c_str());
      }
      acceptor.open(Protocol(AF_UNIX, 0));
      acceptor.bind(Protocol::endpoint(asio::local::stream_protocol::endpoint(options.socket)));
    } else {
      const asio::ip::tcp::endpoint endpoint(asio::ip::make_address(options.host),
                                             static_cast<unsigned short>(options.port));
      acceptor.open(Protocol(endpoint.protocol()));
      acceptor.set_option(asio::socket_base::reuse_address(true));
      acceptor.bind(Protocol::endpoint(endpoint));
    }
    acceptor.listen(1024);
  } catch (const boost::system::system_error& error) {
    throw Error::input("cannot listen (" + error.code().message() + ")", where,
                       "give another address or port (settings 'host' and 'port')");
  }
  const auto bound = acceptor.local_endpoint();
  if (bound.data()->sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, bound.data(), sizeof v4);
    port = ntohs(v4.sin_port);
  } else if (bound.data()->sa_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, bound.data(), sizeof v6);
    port = ntohs(v6.sin6_port);
  }
}

void HttpServer::Impl::accept() {
  acceptor.async_accept([this](error_code error, Socket socket) {
    if (stopping || error == asio::error::operation_aborted) return;
    if (error) {  // no descriptors left, mostly: others have to close first
      accept_again.expires_after(milliseconds(100));
      accept_again.async_wait([this](error_code cancelled) {
        if (!cancelled && !stopping) accept();
      });
      return;
    }
    std::string address = address_of(socket);
    const bool local = address.empty() || options.limits.per_address == 0;
    int& of_address = by_address[address];
    if (static_cast<int>(sessions.size()) >= options.limits.connections ||
        (!local && of_address >= options.limits.per_address)) {
      ++counts.refused;
      if (of_address == 0) by_address.erase(address);
      socket.close(error);
    } else {
      ++of_address;
      const auto session = std::make_shared<Session>(*this, std::move(socket), std::move(address));
      sessions.insert(session.get());
      session->wait_for_request();
    }
    accept();
  });
}

void HttpServer::Impl::take_turn() {
  last_turn = now_ms();
  turn.expires_after(kTurn);
  turn.async_wait([this](error_code error) {
    if (!error) take_turn();
  });
}

void HttpServer::Impl::begin_stop() {
  if (stopping) return;
  stopping = true;
  if (handler.stopping) handler.stopping();
  error_code ignored;
  acceptor.close(ignored);
  if (!options.socket.empty()) ::unlink(options.socket.c_str());
  // close() may end a session and so change the set.
  std::vector<std::shared_ptr<Session>> all;
  for (Session* session : sessions) all.push_back(session->shared_from_this());
  for (const auto& session : all) session->stop_waiting();
  all.clear();
  if (sessions.empty()) return io.stop();
  drain.expires_after(options.drain_time);
  drain.async_wait([this](error_code error) {
    if (error) return;
    in_time = false;
    io.stop();
  });
}

HttpServer::HttpServer(HttpServerOptions options, Handler handler)
    : impl_(std::make_shared<Impl>(std::move(options), std::move(handler))) {
  impl_->listen();
  if (impl_->options.on_signals) {
    impl_->signals = std::make_unique<asio::signal_set>(impl_->io, SIGINT, SIGTERM);
    impl_->signals->async_wait([server = impl_.get()](error_code error, int) {
      if (error) return;
      log::info(
          "stopping: no new requests, those at hand are finished; a second signal ends it at "
          "once");
      // The signals' usual effect again.
      server->signals->clear();
      server->begin_stop();
    });
  }
}

HttpServer::~HttpServer() = default;

int HttpServer::port() const { return impl_->port; }
const HttpCounts& HttpServer::counts() const { return impl_->counts; }

bool HttpServer::run() {
  impl_->take_turn();
  impl_->accept();
  impl_->io.run();
  impl_->ended = true;
  return impl_->in_time;
}

void HttpServer::stop() {
  asio::post(impl_->io, [server = impl_.get()] { server->begin_stop(); });
}

int64_t HttpServer::milliseconds_since_turn() const { return now_ms() - impl_->last_turn; }

}  // namespace opencloc::serve

// The inside of HttpServer: what http_server.cc (connections come and go) and http_session.cc (what
// happens on one) share. No other file includes Boost.Beast, which takes as long to read as the
// rest of the module.
#pragma once

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <list>
#include <unordered_map>
#include <unordered_set>

#include "opencloc/serve/http_server.h"

namespace opencloc::serve {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using SocketProtocol = asio::generic::stream_protocol;
using Socket = SocketProtocol::socket;
using Acceptor = asio::basic_socket_acceptor<SocketProtocol>;
using std::chrono::milliseconds;

inline int64_t now_ms() {
  return std::chrono::duration_cast<milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

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
  // Ends those that have written their answers for the longest time, until no more than allowed is
  // held.
  void limit_answers();

  const HttpServerOptions options;
  const Handler handler;
  HttpCounts counts;
  std::atomic<int64_t> last_turn = now_ms();
  std::unordered_map<std::string, int> by_address;
  std::unordered_set<Session*> sessions;
  std::list<Session*> writing;  // with large answers, the first that began first
  int port = 0;
  bool stopping = false, in_time = true, ended = false;
  // Destroyed first: sessions live in it.
  asio::io_context io{1};
  Acceptor acceptor;
  asio::steady_timer turn, drain, accept_again;
  std::unique_ptr<asio::signal_set> signals;
};

}  // namespace opencloc::serve

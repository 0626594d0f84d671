// Connections come and go here; what happens on one is in http_session.cc. Compiled apart from the
// rest of the module: Beast takes as long to read.
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <csignal>
#include <cstring>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"
#include "opencloc/serve/http_session.h"

namespace opencloc::serve {
namespace {

constexpr milliseconds kTurn{250};

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

}  // namespace

void HttpServer::Impl::leave(Session* session, const std::string& address) {
  sessions.erase(session);
  const auto at = by_address.find(address);
  if (at != by_address.end() && --at->second == 0) by_address.erase(at);
  if (stopping && !ended && sessions.empty()) io.stop();
}

void HttpServer::Impl::limit_answers() {
  const HttpLimits& limits = options.limits;
  while (counts.answer_bytes > static_cast<int64_t>(limits.all_answer_bytes)) {
    // Nobody is cut off who has not had the time to read.
    const auto oldest = writing.front()->shared_from_this();
    if (now_ms() - oldest->writing_since() < limits.least_write_time.count()) return;
    ++counts.cut_off;
    oldest->close();  // takes it out of the list
  }
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
        probe.connect(
            SocketProtocol::endpoint(asio::local::stream_protocol::endpoint(options.socket)),
            error);
        if (!error)
          throw Error::input("another server listens there", where, "choose another path");
        ::unlink(options.socket.c_str());
      }
      acceptor.open(SocketProtocol(AF_UNIX, 0));
      acceptor.bind(
          SocketProtocol::endpoint(asio::local::stream_protocol::endpoint(options.socket)));
    } else {
      const asio::ip::tcp::endpoint endpoint(asio::ip::make_address(options.host),
                                             static_cast<unsigned short>(options.port));
      acceptor.open(SocketProtocol(endpoint.protocol()));
      acceptor.set_option(asio::socket_base::reuse_address(true));
      acceptor.bind(SocketProtocol::endpoint(endpoint));
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

// Bytes on a connection of a real server, which must answer or close, and then answer the next one.
#include <cstdlib>
#include <thread>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fuzz/fuzz_target.h"
#include "opencloc/serve/http_server.h"
#include "opencloc/serve/wire.h"

namespace opencloc::serve {
namespace {

HttpResponse answer_to(const HttpRequest& request) {
  try {
    if (request.media_type() == "multipart/form-data") {
      const auto parts = parse_form(request.header("content-type"), request.body);
      return text_response(std::to_string(parts.size()));
    }
    return json_response(parse_object(request.body));
  } catch (const Refused& refused) {
    return error_response(refused.error);
  }
}

class FuzzedServer {
 public:
  FuzzedServer() : path_("/tmp/fuzz_http_request." + std::to_string(::getpid())) {
    HttpServerOptions options;
    options.socket = path_;
    options.limits.head_bytes = 1024;
    options.limits.target_bytes = 256;
    options.limits.body_bytes = 1024;
    HttpServer::Handler handler;
    handler.look_at_head = [](const HttpRequest& head) -> std::optional<HttpResponse> {
      if (percent_decoded(head.path) != "/no") return std::nullopt;
      return text_response("no", 403);
    };
    handler.handle = [](const HttpRequest& request, const std::shared_ptr<Answer>& answer) {
      answer->send(answer_to(request));
    };
    server_ = std::make_unique<HttpServer>(options, std::move(handler));
    std::thread([this] { server_->run(); }).detach();
  }

  // Writes it all, closes this end and reads until the server has closed its own.
  void send(std::string_view bytes) const {
    const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    if (::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) std::abort();
    if (!bytes.empty() && ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0) {
      // It has closed already.
    }
    ::shutdown(socket, SHUT_WR);
    char buffer[4096];
    while (::recv(socket, buffer, sizeof buffer, 0) > 0) continue;
    ::close(socket);
  }

 private:
  const std::string path_;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace
}  // namespace opencloc::serve

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* server = new opencloc::serve::FuzzedServer;
  return opencloc::fuzz(data, size, [](std::string_view text) { server->send(text); });
}

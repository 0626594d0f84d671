// The server: sockets, the route table, and the service behind it.
#pragma once

#include <memory>

#include "opencloc/serve/router.h"
#include "opencloc/serve/service.h"

namespace opencloc::serve {

class Server {
 public:
  // Loads the model, opens the indexes, listens. Throws Error (input) for what cannot be served,
  // and for an address that others reach without keys.
  explicit Server(ServeOptions options);
  ~Server();

  int port() const { return http_->port(); }
  // "http://127.0.0.1:1234", or the socket's path.
  std::string address() const;
  // Until stop() or a signal. False when requests were still at work when the time was over.
  bool run() { return http_->run(); }
  void stop() { http_->stop(); }
  Service& service() { return service_; }
  const Router& router() const { return router_; }

 private:
  std::optional<HttpResponse> look_at_head(const HttpRequest& head) const;
  void handle(HttpRequest request, std::shared_ptr<Answer> answer);
  std::string_view without_prefix(const HttpRequest& request) const;
  HttpResponse preflight(const HttpRequest& head) const;

  Service service_;
  const Router router_;
  std::unique_ptr<HttpServer> http_;
};

}  // namespace opencloc::serve

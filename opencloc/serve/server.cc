#include "opencloc/serve/server.h"

#include <algorithm>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"

namespace opencloc::serve {
namespace {

// A larger body is read as JSON where pictures are decoded: it holds some.
constexpr size_t kSmallBody = 64 << 10;

const Headers kAlways = {
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
};

ServeOptions checked(ServeOptions options) {
  if (options.http.socket.empty() && !is_loopback(options.http.host) && options.api_keys.empty()) {
    throw Error::input("other machines could ask without a key", options.http.host,
                       "give keys (setting 'api_key_file'), or listen on 127.0.0.1");
  }
  if (!options.read_only && options.api_keys.empty()) {
    throw Error::input("everybody on this machine could change the indexes", "setting 'read_only'",
                       "give keys (setting 'api_key_file')");
  }
  return options;
}

// In the form of the route's dialect.
HttpResponse refusal(const Route& route, const HttpError& error) {
  return route.plain_errors ? plain_error_response(error) : error_response(error);
}

}  // namespace

Server::Server(ServeOptions options) : service_(checked(std::move(options))) {
  HttpServer::Handler handler;
  handler.look_at_head = [this](const HttpRequest& head) { return look_at_head(head); };
  handler.handle = [this](HttpRequest request, std::shared_ptr<Answer> answer) {
    handle(std::move(request), std::move(answer));
  };
  handler.headers = kAlways;
  handler.stopping = [this] { service_.stopping = true; };
  http_ = std::make_unique<HttpServer>(service_.options.http, std::move(handler));
  service_.http_counts = &http_->counts();
  service_.milliseconds_since_turn = [this] { return http_->milliseconds_since_turn(); };
  if (service_.options.http.socket.empty() && !is_loopback(service_.options.http.host)) {
    log::warn("keys and pictures cross the network as they are: put a proxy with TLS in front");
  }
}

Server::~Server() = default;

std::string Server::address() const {
  const HttpServerOptions& http = service_.options.http;
  if (!http.socket.empty()) return http.socket;
  const std::string host =
      http.host.find(':') == std::string::npos ? http.host : "[" + http.host + "]";
  return "http://" + host + ":" + std::to_string(port());
}

std::string_view Server::without_prefix(const HttpRequest& request) const {
  std::string_view path = request.path;
  const std::string& prefix = service_.options.url_prefix;
  if (prefix.empty()) return path;
  if (!path.starts_with(prefix)) return {};
  path.remove_prefix(prefix.size());
  return path.empty() ? std::string_view("/") : path;
}

HttpResponse Server::preflight(const HttpRequest& head) const {
  HttpResponse response;
  response.status = 204;
  response.headers = {{"Access-Control-Allow-Origin", std::string(head.header("origin"))},
                      {"Access-Control-Allow-Methods", "GET, POST, DELETE"},
                      {"Access-Control-Allow-Headers", "Content-Type, Authorization"},
                      {"Access-Control-Max-Age", "600"},
                      {"Vary", "Origin"}};
  return response;
}

std::optional<HttpResponse> Server::look_at_head(const HttpRequest& head) const {
  const ServeOptions& options = service_.options;
  if (const auto error = check_host(head, options)) return error_response(*error);
  if (const auto error = check_origin(head, options)) return error_response(*error);
  if (head.method == "OPTIONS" && is_cors_request(head, options)) return preflight(head);
  // The page's addresses are relative to its folder.
  if (!options.url_prefix.empty() && head.path == options.url_prefix)
    return HttpResponse{.status = 308, .headers = {{"Location", options.url_prefix + "/"}}};
  const auto match = router_.find(head.method, without_prefix(head));
  if (match.route == nullptr) {
    if (match.allowed.empty())
      return error_response(not_found("there is nothing at this address: see /openapi.json"));
    std::string methods;
    for (const std::string& method : match.allowed)
      methods += (methods.empty() ? "" : ", ") + method;
    return error_response({.status = 405,
                           .message = "not with this method: use " + methods,
                           .headers = {{"Allow", methods}}});
  }
  if (const auto error = check_access(head, *match.route, options))
    return refusal(*match.route, *error);
  if (const auto error = check_body_kind(head, *match.route)) return refusal(*match.route, *error);
  return std::nullopt;
}

void Server::handle(HttpRequest request, std::shared_ptr<Answer> answer) {
  auto match = router_.find(request.method, without_prefix(request));
  const Route& route = *match.route;
  const bool heavy = route.work == Work::kHeavy || route.work == Work::kPictures;
  const bool decodes = request.body.size() > kSmallBody || route.work == Work::kPictures ||
                       route.work == Work::kReads;
  const bool picture = heavy && decodes;
  const ServeOptions& options = service_.options;
  Headers cors;
  if (is_cors_request(request, options)) {
    cors = {{"Access-Control-Allow-Origin", std::string(request.header("origin"))},
            {"Vary", "Origin"},
            {"Cross-Origin-Resource-Policy", "cross-origin"}};
  }
  // Pictures take long: they may not have all the places, so that texts and searches get in.
  const int picture_places = std::max(1, options.queue / 2);
  const bool many_pictures = picture && service_.pictures_in_flight >= picture_places;
  if (heavy && (many_pictures || service_.in_flight >= options.queue)) {
    ++service_.overloaded;
    service_.metrics.answered(route.path, 429, 0);
    answer->send(
        refusal(route, {.status = 429,
                        .message = "the server has " +
                                   (many_pictures ? std::to_string(picture_places) + " pictures"
                                                  : std::to_string(options.queue) + " requests") +
                                   " to answer already: come again",
                        .type = "overloaded_error",
                        .retry_after = 1}));
    return;
  }
  if (heavy) ++service_.in_flight;
  if (picture) ++service_.pictures_in_flight;
  auto call = std::make_shared<Call>(
      std::move(request), std::move(match.params), std::move(answer),
      Call::Clock::now() + options.http.limits.answer_time,
      CallNotes{.headers = std::move(cors),
                .plain_errors = route.plain_errors,
                .done = [this, heavy, picture, path = route.path](int status, double seconds) {
                  if (heavy) --service_.in_flight;
                  if (picture) --service_.pictures_in_flight;
                  service_.metrics.answered(path, status, seconds);
                }});
  const auto work = [this, call, handle = route.handle] { handle(service_, call); };
  if (route.work == Work::kLight) return call->guard(work);
  (decodes ? service_.decoding : service_.front).post(call, work);
}

}  // namespace opencloc::serve

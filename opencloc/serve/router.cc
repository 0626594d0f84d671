#include "opencloc/serve/router.h"

#include <algorithm>

#include "opencloc/base/text_file.h"
#include "opencloc/serve/static_files.h"

namespace opencloc::serve {
namespace {

std::vector<std::string_view> parts_of(std::string_view path) {
  std::vector<std::string_view> parts;
  size_t at = 0;
  while (at <= path.size()) {
    const size_t end = std::min(path.size(), path.find('/', at));
    parts.push_back(path.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

// Whether a path fits a route's; fills in its parameters.
bool fits(std::string_view pattern, std::string_view path,
          std::map<std::string, std::string>& params) {
  const auto wanted = parts_of(pattern), given = parts_of(path);
  if (wanted.size() != given.size()) return false;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (!wanted[i].starts_with('{')) {
      if (wanted[i] != given[i]) return false;
      continue;
    }
    const auto value = percent_decoded(given[i]);
    // No part of a path becomes more than one.
    if (!value || value->empty() || value->find('/') != value->npos ||
        value->find('\0') != value->npos) {
      return false;
    }
    params[std::string(wanted[i].substr(1, wanted[i].size() - 2))] = *value;
  }
  return true;
}

// "host" of "host:8080", "[::1]" of "[::1]:8080".
std::string host_of(std::string_view authority) {
  const size_t colon = authority.find(':', authority.starts_with('[') ? authority.find(']') : 0);
  return lower(authority.substr(0, colon));
}

bool is_address(const std::string& host) {
  if (host.starts_with('[')) return true;
  return !host.empty() && host.find_first_not_of("0123456789.") == host.npos;
}

// Takes the same time wherever the difference is.
bool same_secret(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (size_t i = 0; i < a.size(); ++i)
    difference |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]);
  return difference == 0;
}

std::string_view key_of(const HttpRequest& head) {
  const std::string_view authorization = head.header("authorization");
  if (lower(authorization.substr(0, 7)) == "bearer ") return trimmed(authorization.substr(7));
  if (head.has_header("api-key")) return head.header("api-key");
  return head.header("x-api-key");
}

}  // namespace

Router::Router() {
  for (const auto& list :
       {own_routes(), search_routes(), index_routes(), openai_routes(), clip_retrieval_routes(),
        weaviate_routes(), immich_routes(), static_routes(), meta_routes()}) {
    routes_.insert(routes_.end(), list.begin(), list.end());
  }
}

Router::Match Router::find(std::string_view method, std::string_view path) const {
  const std::string_view wanted = method == "HEAD" ? "GET" : method;
  Match match;
  for (const Route& route : routes_) {
    std::map<std::string, std::string> params;
    if (!fits(route.path, path, params)) continue;
    if (route.method == wanted) return {.route = &route, .params = std::move(params)};
    match.allowed.push_back(route.method);
  }
  return match;
}

bool is_loopback(const std::string& address) {
  return address.starts_with("127.") || address == "::1" || address == "localhost";
}

std::optional<HttpError> check_host(const HttpRequest& head, const ServeOptions& options) {
  const auto count = std::count_if(head.headers.begin(), head.headers.end(),
                                   [](const auto& h) { return h.first == "host"; });
  if (count != 1) return bad_request("a request names one host", "Host");
  const std::string host = host_of(head.header("host"));
  const std::string& bound = options.http.host;
  std::vector<std::string> known = {"localhost", "127.0.0.1", "[::1]", bound, "[" + bound + "]"};
  known.insert(known.end(), options.allow_hosts.begin(), options.allow_hosts.end());
  const bool everywhere = bound == "0.0.0.0" || bound == "::";
  for (const std::string& name : known) {
    if (name == "*" || lower(name) == host) return std::nullopt;
  }
  // A page of another site can have its name point here, but not an address.
  if (everywhere && options.http.socket.empty() && is_address(host)) return std::nullopt;
  return HttpError{.status = 403,
                   .message =
                       "this server does not go by the name in Host: start it with the "
                       "setting 'allow_host'",
                   .type = "forbidden_error",
                   .param = "Host"};
}

bool is_cors_request(const HttpRequest& head, const ServeOptions& options) {
  const std::string_view origin = head.header("origin");
  return !origin.empty() && std::find(options.cors_origins.begin(), options.cors_origins.end(),
                                      origin) != options.cors_origins.end();
}

std::optional<HttpError> check_origin(const HttpRequest& head, const ServeOptions& options) {
  const std::string_view origin = head.header("origin");
  if (!head.has_header("origin") || is_cors_request(head, options)) return std::nullopt;
  const size_t scheme = origin.find("://");
  const bool own =
      scheme != origin.npos && lower(origin.substr(scheme + 3)) == lower(head.header("host"));
  if (own) return std::nullopt;
  return HttpError{.status = 403,
                   .message =
                       "pages of other sites may not ask this server: name theirs with the "
                       "setting 'cors_origin'",
                   .type = "forbidden_error",
                   .param = "Origin"};
}

std::optional<HttpError> check_access(const HttpRequest& head, const Route& route,
                                      const ServeOptions& options) {
  if (route.access == Access::kOpen) return std::nullopt;
  if (route.access == Access::kWrite && options.read_only) {
    return HttpError{.status = 403,
                     .message =
                         "this server changes nothing: start it with the setting "
                         "'read_only=off' and with keys",
                     .type = "forbidden_error"};
  }
  if (options.api_keys.empty() && route.access == Access::kKey) return std::nullopt;
  const std::string_view given = key_of(head);
  bool known = false;
  for (const std::string& key : options.api_keys) known |= same_secret(key, given);
  if (known) return std::nullopt;
  return HttpError{.status = 401,
                   .message = "a key is needed: send 'Authorization: Bearer KEY'",
                   .type = "authentication_error",
                   .headers = {{"WWW-Authenticate", "Bearer"}}};
}

std::optional<HttpError> check_body_kind(const HttpRequest& head, const Route& route) {
  const std::string type = head.media_type();
  const char* wanted = nullptr;
  switch (route.body) {
    case BodyKind::kNone:
    case BodyKind::kAnyJson:
      break;
    case BodyKind::kJson:
      if (type != "application/json" && !type.ends_with("+json")) wanted = "application/json";
      break;
    case BodyKind::kScene:
      if (type == "application/json") break;
      [[fallthrough]];
    case BodyKind::kPicture:
      if (!type.starts_with("image/") && type != "application/octet-stream" &&
          type != "multipart/form-data") {
        wanted =
            "image/jpeg (or another picture's), application/octet-stream or "
            "multipart/form-data";
      }
      break;
    case BodyKind::kForm:
      if (type != "multipart/form-data") wanted = "multipart/form-data";
      break;
  }
  if (wanted == nullptr) return std::nullopt;
  return HttpError{.status = 415,
                   .message = std::string("the body's Content-Type is not ") + wanted,
                   .param = "Content-Type"};
}

}  // namespace opencloc::serve

// Which function answers which address, and who may ask.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "opencloc/serve/http.h"
#include "opencloc/serve/service.h"

namespace opencloc::serve {

enum class Access {
  kOpen,   // everybody: health, the page
  kKey,    // who has a key, where there are keys
  kWrite,  // who has a key, and only where the server may write
};
// What a request's body is, by its Content-Type.
enum class BodyKind {
  kNone,
  kJson,
  kAnyJson,  // JSON whatever the type says: clip-retrieval's page names none. Reads only
  kPicture,  // image/*, application/octet-stream, or a form with a part "image"
  kScene,    // a picture, or JSON that names one of an index
  kForm,     // multipart/form-data
};
enum class Work {
  kLight,     // answered on the sockets' thread at once
  kReads,     // rows of an index
  kHeavy,     // counts against the queue
  kPictures,  // and makes pixels of a picture, before anything else
};

struct Route {
  const char* method;
  const char* path;  // "/v1/scenes/{id}/regions"
  Access access;
  BodyKind body;
  Work work;
  void (*handle)(Service& service, const CallPtr& call);
  // The dialect's form of errors: {"error": "text"} in place of ours.
  bool plain_errors = false;
};

// One list for each dialect: routes_*.cc.
std::span<const Route> own_routes();
std::span<const Route> search_routes();
std::span<const Route> index_routes();
std::span<const Route> openai_routes();
std::span<const Route> clip_retrieval_routes();
std::span<const Route> weaviate_routes();
std::span<const Route> immich_routes();
std::span<const Route> meta_routes();

class Router {
 public:
  Router();
  struct Match {
    const Route* route = nullptr;
    std::map<std::string, std::string> params = {};  // decoded
    std::vector<std::string> allowed = {};           // methods, where the path is right alone
  };
  // HEAD is answered as GET. Without a route: allowed is empty for 404.
  Match find(std::string_view method, std::string_view path) const;
  const std::vector<Route>& routes() const { return routes_; }

 private:
  std::vector<Route> routes_;
};

// What a request may not be refused for: a host that is not ours, a foreign page, a missing key.
// None: it may go on.
std::optional<HttpError> check_host(const HttpRequest& head, const ServeOptions& options);
std::optional<HttpError> check_origin(const HttpRequest& head, const ServeOptions& options);
std::optional<HttpError> check_access(const HttpRequest& head, const Route& route,
                                      const ServeOptions& options);
std::optional<HttpError> check_body_kind(const HttpRequest& head, const Route& route);
// Whether the request comes from a page that may read answers (settings 'cors_origin').
bool is_cors_request(const HttpRequest& head, const ServeOptions& options);
bool is_loopback(const std::string& address);

}  // namespace opencloc::serve

#include "opencloc/serve/static_files.h"

#include <algorithm>
#include <array>

#include "opencloc/base/sha256.h"

namespace opencloc::serve {
namespace {

#include "opencloc_static_files.inc"

constexpr const char* kPagePolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src "
    "'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'";

std::string type_of(std::string_view name) {
  const std::string_view ending = name.substr(std::min(name.size(), name.rfind('.')));
  if (ending == ".html") return "text/html; charset=utf-8";
  if (ending == ".css") return "text/css; charset=utf-8";
  if (ending == ".js") return "text/javascript; charset=utf-8";
  if (ending == ".svg") return "image/svg+xml";
  if (ending == ".png") return "image/png";
  return "application/octet-stream";
}

void get_static(Service&, const CallPtr& call) {
  const std::string& path = call->request.path;
  std::string_view name = std::string_view(path).substr(path.rfind('/') + 1);
  if (name.empty()) name = "index.html";
  for (const StaticFile& file : static_files()) {
    if (file.name == name) return call->respond(static_answer(file, call->request));
  }
  throw Refused{not_found("there is no such file")};
}

}  // namespace

std::span<const StaticFile> static_files() { return kStaticFiles; }

std::span<const Route> static_routes() {
  static const auto kPaths = [] {
    std::vector<std::string> paths;
    for (const StaticFile& file : static_files()) {
      paths.push_back("/" + std::string(file.name));
      if (file.name == "index.html") paths.push_back("/");
    }
    return paths;
  }();
  static const auto kRoutes = [] {
    std::vector<Route> routes;
    for (const std::string& path : kPaths)
      routes.push_back(
          {"GET", path.c_str(), Access::kOpen, BodyKind::kNone, Work::kLight, get_static});
    return routes;
  }();
  return kRoutes;
}

HttpResponse static_answer(const StaticFile& file, const HttpRequest& request) {
  const std::string tag = '"' + sha256_hex(file.bytes).substr(0, 32) + '"';
  HttpResponse response;
  response.content_type = type_of(file.name);
  response.headers = {
      {"ETag", tag}, {"Cache-Control", "no-cache"}, {"Content-Security-Policy", kPagePolicy}};
  if (request.header("if-none-match") == tag) {
    response.status = 304;
  } else {
    response.body = std::string(file.bytes);
  }
  return response;
}

}  // namespace opencloc::serve

// HTTP messages as the routes see them: plain values, no sockets.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "opencloc/base/json.h"

namespace opencloc::serve {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method = {};
  std::string target = {};  // as it was sent
  std::string path = {};    // of the target, not decoded
  std::string query = {};   // what follows the first '?', not decoded
  Headers headers = {};     // names in small letters
  std::string body = {};

  // The first header of this name (small letters); empty where there is none.
  std::string_view header(std::string_view name) const;
  bool has_header(std::string_view name) const;
  // "application/json" of "Application/JSON; charset=utf-8".
  std::string media_type() const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body = {};
  Headers headers = {};
  bool close = false;  // the connection afterwards
};

// An answer other than what was asked for.
struct HttpError {
  int status = 400;
  std::string message = {};  // "what, where: how to mend it"; never a path or a trace
  std::string type = "invalid_request_error";
  std::string param = {};  // the part of the request, as "input[3]"
  int retry_after = 0;     // seconds; 0: does not say
  Headers headers = {};
};
HttpError bad_request(std::string message, std::string param = {});
HttpError not_found(std::string message, std::string param = {});
// 503: the work is not possible now.
HttpError unavailable(std::string message, int retry_after = 1);

// {"error": {"message", "type", "param", "code"}}
Json error_json(const HttpError& error);
HttpResponse error_response(const HttpError& error);
// {"error": "text"}
HttpResponse plain_error_response(const HttpError& error);
HttpResponse json_response(const Json& json, int status = 200);
HttpResponse text_response(std::string text, int status = 200);
const char* reason_of(int status);

// "a%20b" -> "a b"; none for a '%' without two hexadecimal digits. `plus` also turns '+' into ' '.
std::optional<std::string> percent_decoded(std::string_view text, bool plus = false);
// The value of a key in "a=1&b=2", decoded; none where it is not there.
std::optional<std::string> query_value(std::string_view query, std::string_view key);
std::string lower(std::string_view text);

}  // namespace opencloc::serve

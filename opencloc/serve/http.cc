#include "opencloc/serve/http.h"

#include <algorithm>

#include "opencloc/base/text_file.h"

namespace opencloc::serve {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string lower(std::string_view text) {
  std::string small(text);
  for (char& c : small) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return small;
}

std::string_view HttpRequest::header(std::string_view name) const {
  const auto at = std::find_if(headers.begin(), headers.end(),
                               [&](const auto& header) { return header.first == name; });
  return at == headers.end() ? std::string_view() : std::string_view(at->second);
}

bool HttpRequest::has_header(std::string_view name) const {
  return std::any_of(headers.begin(), headers.end(),
                     [&](const auto& header) { return header.first == name; });
}

std::string HttpRequest::media_type() const {
  const std::string_view whole = header("content-type");
  return lower(trimmed(whole.substr(0, whole.find(';'))));
}

HttpError bad_request(std::string message, std::string param) {
  return {.status = 400, .message = std::move(message), .param = std::move(param)};
}

HttpError not_found(std::string message, std::string param) {
  return {.status = 404,
          .message = std::move(message),
          .type = "not_found_error",
          .param = std::move(param)};
}

HttpError unavailable(std::string message, int retry_after) {
  return {.status = 503,
          .message = std::move(message),
          .type = "unavailable_error",
          .retry_after = retry_after};
}

Json error_json(const HttpError& error) {
  Json inner;
  inner["message"] = error.message;
  inner["type"] = error.type;
  inner["param"] = error.param.empty() ? Json(nullptr) : Json(error.param);
  inner["code"] = error.status;
  return {{"error", std::move(inner)}};
}

HttpResponse error_response(const HttpError& error) {
  HttpResponse response = json_response(error_json(error), error.status);
  response.headers = error.headers;
  if (error.retry_after > 0)
    response.headers.emplace_back("Retry-After", std::to_string(error.retry_after));
  return response;
}

HttpResponse plain_error_response(const HttpError& error) {
  HttpResponse response = error_response(error);
  response.body = dump_json({{"error", error.message}});
  return response;
}

HttpResponse json_response(const Json& json, int status) {
  return {.status = status, .body = dump_json(json)};
}

HttpResponse text_response(std::string text, int status) {
  return {.status = status, .content_type = "text/plain; charset=utf-8", .body = std::move(text)};
}

const char* reason_of(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 204:
      return "No Content";
    case 304:
      return "Not Modified";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Payload Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 422:
      return "Unprocessable Entity";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 503:
      return "Service Unavailable";
    default:
      return status < 400 ? "OK" : "Internal Server Error";
  }
}

std::optional<std::string> percent_decoded(std::string_view text, bool plus) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus) {
      decoded += ' ';
    } else if (text[i] != '%') {
      decoded += text[i];
    } else {
      const int high = i + 1 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0) return std::nullopt;
      decoded += static_cast<char>(16 * high + low);
      i += 2;
    }
  }
  return decoded;
}

std::optional<std::string> query_value(std::string_view query, std::string_view key) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    const size_t equals = pair.find('=');
    if (pair.substr(0, equals) != key) continue;
    return percent_decoded(equals == pair.npos ? std::string_view() : pair.substr(equals + 1),
                           true);
  }
  return std::nullopt;
}

}  // namespace opencloc::serve

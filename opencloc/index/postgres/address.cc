#include "opencloc/index/postgres/address.h"

#include <algorithm>
#include <string_view>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

constexpr size_t kLongestName = 40;
constexpr const char* kMendAddress = "write postgres://USER@HOST/DB?index=NAME";

bool is_name(const std::string& name) {
  const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  return !name.empty() && name.size() <= kLongestName && is_letter(name.front()) &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '_'; });
}

// "scheme://user:password@host/db" without the password.
std::string without_password(const std::string& url) {
  const size_t begin = url.find("://") + 3;
  const size_t end = std::min(url.find('/', begin), url.size());
  const size_t at = url.substr(0, end).rfind('@');
  if (at == url.npos || at < begin) return url;
  const size_t colon = url.find(':', begin);
  return colon < at ? url.substr(0, colon) + url.substr(at) : url;
}

}  // namespace

bool is_postgres(const std::string& place) {
  return place.starts_with("postgres://") || place.starts_with("postgresql://");
}

PostgresAddress parse_postgres_address(const std::string& place) {
  const size_t question = std::min(place.find('?'), place.size());
  PostgresAddress address;
  address.connection = place.substr(0, question);
  address.shown = without_password(address.connection);
  std::string_view rest = std::string_view(place).substr(question);
  char connection_joint = '?', shown_joint = '?';
  while (!rest.empty()) {
    rest.remove_prefix(1);  // '?' or '&'
    const std::string setting(rest.substr(0, rest.find('&')));
    rest.remove_prefix(setting.size());
    if (setting.starts_with("index=")) {
      address.index = setting.substr(6);
    } else if (!setting.empty()) {
      address.connection += connection_joint + setting;
      connection_joint = '&';
      if (setting.starts_with("password=") || setting.starts_with("sslpassword=")) continue;
    }
    if (setting.empty()) continue;
    address.shown += shown_joint + setting;
    shown_joint = '&';
  }
  if (address.index.empty())
    throw Error::input("the address names no index", address.shown, kMendAddress);
  if (!is_name(address.index)) {
    throw Error::input(
        "'" + address.index + "' is no name of an index in a database", address.shown,
        "use a to z, 0 to 9 and _, a letter first, at most " + std::to_string(kLongestName));
  }
  return address;
}

}  // namespace opencloc

#include "opencloc/base/error.h"

#include <cerrno>
#include <system_error>

namespace opencloc {
namespace {

std::string one_line(std::string_view what, std::string_view where, std::string_view mend) {
  std::string text(what);
  if (!where.empty()) text.append(", ").append(where);
  if (!mend.empty()) text.append(": ").append(mend);
  for (char& c : text) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  return text;
}

}  // namespace

Error::Error(ErrorKind kind, std::string_view what, std::string_view where, std::string_view mend)
    : std::runtime_error(one_line(what, where, mend)), kind_(kind) {}

Error Error::input(std::string_view what, std::string_view where, std::string_view mend) {
  return {ErrorKind::kInput, what, where, mend};
}

Error Error::failed(std::string_view what, std::string_view where, std::string_view mend) {
  return {ErrorKind::kFailed, what, where, mend};
}

std::string errno_text() { return std::generic_category().message(errno); }

}  // namespace opencloc

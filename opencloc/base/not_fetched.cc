#include "opencloc/base/not_fetched.h"

#include <algorithm>
#include <cctype>
#include <string>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

bool begins_like(std::string_view text, std::string_view lower_case) {
  return text.size() >= lower_case.size() &&
         std::equal(lower_case.begin(), lower_case.end(), text.begin(), [](char want, char have) {
           return want == static_cast<char>(std::tolower(static_cast<unsigned char>(have)));
         });
}

}  // namespace

std::string_view stand_in(std::string_view beginning) {
  const size_t first = beginning.find_first_not_of(" \t\r\n");
  const auto text = beginning.substr(first == std::string_view::npos ? 0 : first);
  if (text.starts_with("version https://git-lfs.github.com/spec/")) return "a git-lfs pointer";
  if (begins_like(text, "<!doctype html") || begins_like(text, "<html")) return "a web page";
  return {};
}

void require_fetched(std::string_view beginning, const std::filesystem::path& path) {
  const auto kind = stand_in(beginning);
  if (kind.empty()) return;
  const bool pointer = kind.starts_with("a git");
  throw Error::input("is " + std::string(kind) + ", the file itself was not fetched", path.string(),
                     pointer ? "run 'git lfs pull' where it lies, or download the file"
                             : "download the file itself, not the page about it");
}

void require_fetched(std::span<const std::byte> bytes, const std::filesystem::path& path) {
  constexpr size_t kLooked = 256;
  const auto start = bytes.first(std::min(bytes.size(), kLooked));
  require_fetched({reinterpret_cast<const char*>(start.data()), start.size()}, path);
}

}  // namespace opencloc

#include <algorithm>
#include <cstdint>
#include <optional>

#include <unicode/utf8.h>

#include "opencloc/text/clean_text.h"

namespace opencloc {
namespace {

struct Entity {
  std::string_view name;
  std::string_view text;
};
constexpr Entity kEntities[] = {
#include "opencloc/text/html_entities.inc"
};

std::optional<std::string_view> find_entity(std::string_view name) {
  const auto* const found = std::ranges::lower_bound(kEntities, name, {}, &Entity::name);
  if (found == std::end(kEntities) || found->name != name) return std::nullopt;
  return found->text;
}

void append_code_point(std::string& out, uint32_t code) {
  uint8_t bytes[U8_MAX_LENGTH];
  int32_t length = 0;
  U8_APPEND_UNSAFE(bytes, length, code);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
}

// Windows-1252 in the place of C1 controls, as browsers and Python read them.
constexpr uint16_t kC1[32] = {0x20ac, 0x81,   0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021,
                              0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8d,   0x017d, 0x8f,
                              0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
                              0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x9d,   0x017e, 0x0178};

void append_numeric(std::string& out, uint32_t code) {
  if (code == 0 || (code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff) {
    out += "\xef\xbf\xbd";
  } else if (code >= 0x80 && code <= 0x9f) {
    append_code_point(out, kC1[code - 0x80]);
  } else if (const bool dropped =
                 (code < 0x20 && code != '\t' && code != '\n' && code != '\f' && code != '\r') ||
                 code == 0x7f || (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) == 0xfffe;
             !dropped) {
    append_code_point(out, code);
  }
}

// The value of a digit in base 10 or 16, or -1.
int digit(char c, int base) {
  if (c >= '0' && c <= '9') return c - '0';
  if (base == 16 && c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (base == 16 && c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// text[0] is '&'. Appends what the reference stands for and returns the bytes it took; 0 = this '&'
// begins no reference.
size_t replace_numeric(std::string_view text, std::string& out) {
  size_t at = 2;
  const int base = at < text.size() && (text[at] == 'x' || text[at] == 'X') ? 16 : 10;
  if (base == 16) ++at;
  const size_t begin = at;
  uint32_t code = 0;
  for (; at < text.size() && digit(text[at], base) >= 0; ++at) {
    const auto value = static_cast<uint32_t>(digit(text[at], base));
    code = std::min<uint32_t>(code * static_cast<uint32_t>(base) + value, 0x110000);
  }
  if (at == begin) return 0;
  append_numeric(out, code);
  return at < text.size() && text[at] == ';' ? at + 1 : at;
}

size_t replace_named(std::string_view text, std::string& out) {
  constexpr int kLongestName = 32;  // code points
  constexpr std::string_view kStops("\t\n\f <&#;");
  size_t end = 1;
  for (int count = 0; end < text.size() && kStops.find(text[end]) == std::string_view::npos;) {
    const bool starts_code_point = (static_cast<uint8_t>(text[end]) & 0xc0) != 0x80;
    if (starts_code_point && ++count > kLongestName) break;
    ++end;
  }
  if (end == 1) return 0;
  if (end < text.size() && text[end] == ';') ++end;
  const std::string_view name = text.substr(1, end - 1);
  if (const auto exact = find_entity(name)) {
    out += *exact;
    return end;
  }
  // The longest name that begins it: "&notit;" is "&not" + "it;".
  for (size_t length = name.size() - 1; length > 1; --length) {
    if (const auto prefix = find_entity(name.substr(0, length))) {
      out += *prefix;
      return 1 + length;
    }
  }
  return 0;
}

}  // namespace

std::string html_unescape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    size_t used = 0;
    if (text[at] == '&') {
      const std::string_view rest = text.substr(at);
      const bool numeric = rest.size() > 1 && rest[1] == '#';
      used = numeric ? replace_numeric(rest, out) : replace_named(rest, out);
    }
    if (used == 0) {
      out += text[at];
      used = 1;
    }
    at += used;
  }
  return out;
}

}  // namespace opencloc

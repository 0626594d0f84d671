#include "opencloc/base/text_file.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"

namespace opencloc {
namespace {

constexpr std::string_view kBadMark = "\xef\xbf\xbf";  // U+FFFF

struct Magic {
  std::string_view bytes;
  std::string_view what;
  std::string_view mend;
};

// What is given for text now and then. Pictures are known by their first bytes alone.
constexpr std::array<Magic, 12> kNoText = {{
    {"PAR1", "is a Parquet file, not text",
     "write it as JSON lines: python3 -c 'import pandas,sys; "
     "pandas.read_parquet(sys.argv[1]).to_json(sys.argv[2],orient=\"records\",lines=True)' IN OUT"},
    {"\x1f\x8b", "is a gzip file, not text", "unpack it: gunzip -k FILE"},
    {"\x28\xb5\x2f\xfd", "is a zstd file, not text", "unpack it: unzstd FILE"},
    {"BZh91AY&SY", "is a bzip2 file, not text", "unpack it: bunzip2 -k FILE"},
    {"\xfd"
     "7zXZ",
     "is an xz file, not text", "unpack it: unxz -k FILE"},
    {"PK\x03\x04", "is a zip file (or a spreadsheet), not text",
     "unpack it, or save the table as CSV"},
    {"SQLite format 3", "is an SQLite file, not text", "write its table as CSV"},
    {"ARROW1", "is an Arrow file, not text", "write it as JSON lines"},
    {"\x89PNG", "is a picture, not text", "check which file is meant"},
    {"\xff\xd8\xff", "is a picture, not text", "check which file is meant"},
    {"%PDF-", "is a PDF, not text", "check which file is meant"},
    {"version https://git-lfs.github.com", "is a git-lfs pointer, not the file itself",
     "fetch it: git lfs pull"},
}};

void refuse_other_files(std::string_view bytes, std::string_view where) {
  for (const auto& magic : kNoText) {
    if (bytes.starts_with(magic.bytes)) throw Error::input(magic.what, where, magic.mend);
  }
}

void append_utf8(uint32_t code, std::string& out) {
  if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) code = 0xFFFD;
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

struct Wide {
  size_t bytes = 0;  // of a unit: 2 or 4; 0 = not UTF-16 or UTF-32
  bool big_endian = false;
  size_t mark = 0;  // bytes of the byte order mark
};

// Without a mark: text that is mostly ASCII has its zero bytes all in the same places.
Wide wide_form(std::string_view bytes) {
  using namespace std::string_view_literals;
  if (bytes.starts_with("\xff\xfe\0\0"sv)) return {4, false, 4};
  if (bytes.starts_with("\0\0\xfe\xff"sv)) return {4, true, 4};
  if (bytes.starts_with("\xff\xfe"sv)) return {2, false, 2};
  if (bytes.starts_with("\xfe\xff"sv)) return {2, true, 2};
  const size_t seen = std::min<size_t>(bytes.size() & ~size_t{1}, 64);
  if (seen < 4 || bytes.size() % 2 != 0) return {};
  size_t zeros[2] = {0, 0};
  for (size_t i = 0; i < seen; ++i) zeros[i % 2] += bytes[i] == '\0';
  if (zeros[0] == 0 && zeros[1] * 4 >= seen) return {2, false, 0};
  if (zeros[1] == 0 && zeros[0] * 4 >= seen) return {2, true, 0};
  return {};
}

std::string from_wide(std::string_view bytes, const Wide& form) {
  std::string out;
  out.reserve(bytes.size() / form.bytes + 16);
  const auto unit = [&](size_t at) {
    uint32_t value = 0;
    for (size_t i = 0; i < form.bytes; ++i) {
      const auto byte = static_cast<unsigned char>(bytes[at + i]);
      value |= uint32_t{byte} << 8 * (form.big_endian ? form.bytes - 1 - i : i);
    }
    return value;
  };
  for (size_t at = form.mark; at + form.bytes <= bytes.size(); at += form.bytes) {
    uint32_t code = unit(at);
    if (form.bytes == 2 && code >= 0xD800 && code < 0xDC00 && at + 4 <= bytes.size()) {
      const uint32_t low = unit(at + 2);
      if (low >= 0xDC00 && low < 0xE000) {
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        at += 2;
      }
    }
    append_utf8(code, out);
  }
  return out;
}

// Bytes of the UTF-8 character at text[at]; 0 when there is none (RFC 3629).
size_t utf8_length(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u;
  };
  const auto follows = [&](size_t i) { return (byte(i) & 0xC0u) == 0x80u; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xC2) return 0;
  if (first < 0xE0) return follows(1) ? 2 : 0;
  if (first < 0xF0) {
    if (!follows(1) || !follows(2)) return 0;
    if (first == 0xE0 && byte(1) < 0xA0) return 0;
    if (first == 0xED && byte(1) >= 0xA0) return 0;  // surrogates
    return 3;
  }
  if (first > 0xF4 || !follows(1) || !follows(2) || !follows(3)) return 0;
  if ((first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) >= 0x90)) return 0;
  return 4;
}

}  // namespace

std::string decode_text(std::string bytes) {
  if (bytes.starts_with("\xef\xbb\xbf")) {
    bytes.erase(0, 3);
    return bytes;
  }
  const Wide form = wide_form(bytes);
  return form.bytes == 0 ? std::move(bytes) : from_wide(bytes, form);
}

std::string read_text(const std::filesystem::path& path, uint64_t max_bytes) {
  std::string bytes = read_file(path, max_bytes);
  refuse_other_files(bytes, path.string());
  return decode_text(std::move(bytes));
}

size_t find_bad_utf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    uint64_t eight = 0;
    if (i + 8 <= text.size()) {
      std::memcpy(&eight, text.data() + i, 8);
      if ((eight & 0x8080808080808080u) == 0) {
        i += 8;
        continue;
      }
    }
    const size_t length = utf8_length(text, i);
    if (length == 0) return i;
    i += length;
  }
  return std::string_view::npos;
}

std::string place_in_text(std::string_view text, size_t at) {
  const auto line =
      1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
  std::array<char, 16> hex{};
  std::snprintf(hex.data(), hex.size(), "0x%02x", static_cast<unsigned char>(text[at]));
  return std::string("byte ") + hex.data() + " in line " + std::to_string(line);
}

void require_utf8(std::string_view text, std::string_view where) {
  const size_t bad = find_bad_utf8(text);
  if (bad == std::string_view::npos) return;
  throw Error::input("text is not UTF-8 (" + place_in_text(text, bad) + ")", where,
                     "convert it, e.g. iconv -f WINDOWS-1252 -t UTF-8 FILE");
}

std::string mark_bad_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 16);
  bool in_bad = false;
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text, i);
    if (length == 0 && !in_bad) out += kBadMark;
    in_bad = length == 0;
    out.append(text, i, length);
    i += std::max<size_t>(length, 1);
  }
  return out;
}

bool has_bad_mark(std::string_view text) { return text.find(kBadMark) != std::string_view::npos; }

void for_each_text_line(std::string_view text,
                        const std::function<void(std::string_view line, int64_t number)>& visit) {
  const char end = text.find('\n') == std::string_view::npos ? '\r' : '\n';
  for (int64_t number = 1; !text.empty(); ++number) {
    const size_t at = text.find(end);
    std::string_view line = text.substr(0, at);
    text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    visit(line, number);
  }
}

std::vector<std::string> read_text_lines(const std::filesystem::path& path, uint64_t max_bytes) {
  const std::string text = read_text(path, max_bytes);
  require_utf8(text, path.string());
  std::vector<std::string> lines;
  for_each_text_line(text, [&](std::string_view line, int64_t) { lines.emplace_back(line); });
  return lines;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n\v\f";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::optional<double> parse_number(std::string_view text) {
  text = trimmed(text);
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  double value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = read.ec == std::errc() && read.ptr == text.data() + text.size();
  return whole && std::isfinite(value) ? std::optional(value) : std::nullopt;
}

}  // namespace opencloc

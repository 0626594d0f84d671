// The one reader of text files that other programs wrote: captions, class lists, tables, JSON, XML,
// label files. What it gives is UTF-8 without a byte order mark. UTF-16 and UTF-32 (with a mark, or
// plain ASCII text without one) are converted. Other encodings are not guessed: bytes that are not
// UTF-8 stay as they are, and the caller counts the line or refuses the file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace opencloc {

// Reads a text file. Error (input) when it is missing, too long, or no text at all: Parquet, gzip,
// zip, a picture, a git-lfs pointer; the message says what it is.
std::string read_text(const std::filesystem::path& path, uint64_t max_bytes = uint64_t{1} << 36);
// The same for bytes that are held already (a member of a tar).
std::string decode_text(std::string bytes);

// The first byte that is not UTF-8; npos when all of it is.
size_t find_bad_utf8(std::string_view text);
// "byte 0xe9 in line 3": the place of text[at].
std::string place_in_text(std::string_view text, size_t at);
// Error (input) that names the place when `text` is not UTF-8.
void require_utf8(std::string_view text, std::string_view where);

// Every run of bytes that is not UTF-8 becomes U+FFFF, which no text holds, so that a file can be
// read on and the damaged strings found later with has_bad_mark().
std::string mark_bad_utf8(std::string_view text);
bool has_bad_mark(std::string_view text);

// Calls visit(line, number from 1) for every line, empty ones too. Lines end with \n or \r\n; with
// \r in a file that has no \n (old Macs).
void for_each_text_line(std::string_view text,
                        const std::function<void(std::string_view line, int64_t number)>& visit);
// The lines of a file. Error (input) when it is not UTF-8.
std::vector<std::string> read_text_lines(const std::filesystem::path& path,
                                         uint64_t max_bytes = uint64_t{1} << 36);

// Without the blanks (also \r, \n) at both ends.
std::string_view trimmed(std::string_view text);
// The whole text as a finite number, as Python's float() reads it: blanks around it and a plus sign
// do not count. None for anything else.
std::optional<double> parse_number(std::string_view text);

}  // namespace opencloc

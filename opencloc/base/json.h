// JSON behind one name. Objects keep the order of their keys, so that rewriting a record changes
// nothing but what was meant.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace opencloc {

using Json = nlohmann::ordered_json;
// For objects of very many keys, in which Json would look for each from the first to the last.
using SortedJson = nlohmann::json;

// Throws Error (input) naming `where` and the position. Refuses nesting deeper than 256. Reads what
// Python's json module writes too: NaN, Infinity, a surrogate without its other half (U+FFFD here).
Json parse_json(std::string_view text, std::string_view where);
// Plain JSON alone.
SortedJson parse_sorted_json(std::string_view text, std::string_view where);
// Reads (text_file.h) and parses a whole file.
Json read_json(const std::filesystem::path& path);
// Serialises; invalid UTF-8 is replaced, never an exception. indent < 0 = one line.
std::string dump_json(const Json& value, int indent = -1);

// Typed access with an Error that names `where` and the key. Missing key: `fallback`.
std::string json_string(const Json& object, const char* key, std::string_view where,
                        std::string fallback);
double json_number(const Json& object, const char* key, std::string_view where, double fallback);
int64_t json_int(const Json& object, const char* key, std::string_view where, int64_t fallback);
bool json_bool(const Json& object, const char* key, std::string_view where, bool fallback);
// The same, for keys that must be there.
const Json& json_at(const Json& object, const char* key, std::string_view where);

}  // namespace opencloc

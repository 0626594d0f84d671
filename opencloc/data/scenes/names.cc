#include "opencloc/data/scenes/names.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <set>
#include <tuple>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/rng.h"
#include "opencloc/text/clean_text.h"

namespace opencloc {
namespace {

constexpr auto kLeftOutSubgroups = std::to_array<std::string_view>(
    {"arrow", "time", "alphanum", "av-symbol", "geometric", "keycap", "gender"});

// Objects are turned, mirrored and scaled: such a name would no longer be true.
constexpr auto kLeftOutWords = std::to_array<std::string_view>(
    {"left",        "right",        "up",         "down",        "upwards",
     "downwards",   "leftwards",    "rightwards", "left-facing", "right-facing",
     "upside-down", "front-facing", "small",      "large",       "medium",
     "waxing",      "waning",       "quarter",    "increasing",  "decreasing"});

constexpr auto kThings = std::to_array<std::string_view>(
    {"Animals & Nature", "Food & Drink", "Travel & Places", "Activities", "Objects"});

uint64_t name_hash(std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325ULL;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ULL;
  return mix64(hash);
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(separator, at), text.size());
    if (end > at) parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

std::string_view trim(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\r')) text.remove_suffix(1);
  return text;
}

template <typename List>
bool contains(const List& list, std::string_view item) {
  return std::ranges::find(list, item) != std::ranges::end(list);
}

// "person: blond hair" -> "person with blond hair", "man’s shoe" -> "man's shoe".
std::string plain_name(std::string_view name) {
  std::string plain = clean_clip_text(name);
  if (const size_t colon = plain.find(": "); colon != std::string::npos) {
    plain.replace(colon, 2, " with ");
  }
  return plain;
}

// The one code point of "263A FE0F" (FE0F asks for the coloured form), or 0 for a sequence.
char32_t single_code_point(std::string_view codes) {
  char32_t found = 0;
  for (const std::string_view code : split(codes, ' ')) {
    uint32_t value = 0;
    std::from_chars(code.data(), code.data() + code.size(), value, 16);
    if (value == 0xfe0f) continue;
    if (found != 0) return 0;
    found = value;
  }
  return found;
}

bool is_wanted(std::string_view subgroup, const std::string& name) {
  return !contains(kLeftOutSubgroups, subgroup) &&
         std::ranges::none_of(split(name, ' '),
                              [](std::string_view word) { return contains(kLeftOutWords, word); });
}

}  // namespace

std::string_view before_preposition(std::string_view name) {
  for (const std::string_view end :
       {" with ", " of ", " in ", " on ", " from ", " holding ", " hugging", " over ", " lifting ",
        " wrestling", " showing "}) {
    name = name.substr(0, name.find(end));
  }
  return name;
}

std::string_view head_noun(std::string_view name) {
  const std::string_view before = before_preposition(name);
  const size_t blank = before.rfind(' ');
  return blank == before.npos ? before : before.substr(blank + 1);
}

bool is_held_out_name(std::string_view name) { return name_hash(name) % 10 == 0; }

std::vector<EmojiName> read_emoji_names(const std::filesystem::path& emoji_test_txt) {
  if (!std::filesystem::exists(emoji_test_txt)) {
    throw Error::input("the list of emoji names is missing", emoji_test_txt.string(),
                       "install the package unicode-data");
  }
  const std::string text = read_file(emoji_test_txt, uint64_t{64} << 20);
  std::vector<EmojiName> names;
  std::set<std::string> seen;
  std::string_view group;
  std::string_view subgroup;
  for (const std::string_view line : split(text, '\n')) {
    if (line.starts_with("# group: ")) group = trim(line.substr(9));
    if (line.starts_with("# subgroup: ")) subgroup = trim(line.substr(12));
    // "263A FE0F   ; fully-qualified     # ☺️ E0.6 smiling face"
    const size_t semicolon = line.find(';');
    const size_t hash = line.find('#');
    if (line.starts_with('#') || semicolon == line.npos || hash == line.npos) continue;
    if (trim(line.substr(semicolon + 1, hash - semicolon - 1)) != "fully-qualified") continue;
    const char32_t code_point = single_code_point(line.substr(0, semicolon));
    const size_t version = line.find(" E", hash);
    const size_t blank = version == line.npos ? line.npos : line.find(' ', version + 1);
    if (code_point == 0 || blank == line.npos) continue;
    std::string name = plain_name(line.substr(blank + 1));
    if (!is_wanted(subgroup, name) || !seen.insert(name).second) continue;
    const bool held_out = is_held_out_name(name);
    names.push_back({code_point, std::move(name), std::string(group), held_out});
  }
  if (names.empty()) {
    throw Error::input("no emoji names found", emoji_test_txt.string(),
                       "give Unicode's emoji-test.txt (package unicode-data)");
  }
  std::ranges::sort(names, {}, [](const EmojiName& emoji) {
    return std::tuple(!contains(kThings, emoji.group), name_hash(emoji.name), emoji.name);
  });
  return names;
}

}  // namespace opencloc

#include "opencloc/cli/flag_names.h"

#include <algorithm>
#include <array>

namespace opencloc::cli {
namespace {

// Between the names of a list; those that begin with another one come first.
constexpr std::array<std::string_view, 5> kJoints = {", and ", ", or ", ", ", " and ", " or "};

bool is_of_name(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Takes 'name' or 'name=value' from the start of `text`; "" when it does not start so.
std::string take_flag(std::string_view& text) {
  const size_t end = text.starts_with('\'') ? text.find('\'', 1) : std::string_view::npos;
  if (end == std::string_view::npos) return {};
  const std::string_view inside = text.substr(1, end - 1);
  const size_t equals = inside.find('=');
  std::string name(inside.substr(0, equals));
  if (name.empty() || !std::ranges::all_of(name, is_of_name)) return {};
  std::ranges::replace(name, '_', '-');
  text.remove_prefix(end + 1);
  if (equals == std::string_view::npos) return "--" + name;
  return "--" + name + " " + std::string(inside.substr(equals + 1));
}

// The same of "'a', 'b' and 'c'".
std::string take_flags(std::string_view& text) {
  std::string flags = take_flag(text);
  while (!flags.empty()) {
    const auto joint = std::ranges::find_if(
        kJoints, [&](std::string_view between) { return text.starts_with(between); });
    if (joint == kJoints.end()) break;
    std::string_view rest = text.substr(joint->size());
    const std::string next = take_flag(rest);
    if (next.empty()) break;
    flags.append(*joint).append(next);
    text = rest;
  }
  return flags;
}

// Whether `text` ends with this word.
bool ends_with_word(std::string_view text, std::string_view word) {
  if (!text.ends_with(word)) return false;
  text.remove_suffix(word.size());
  return text.empty() || !is_letter(text.back());
}

}  // namespace

std::string in_flags(std::string_view message) {
  constexpr std::string_view kWord = "setting", kArticle = "the ";
  std::string shown;
  while (true) {
    const size_t at = message.find(kWord);
    if (at == std::string_view::npos) return shown.append(message);
    std::string_view before = message.substr(0, at), rest = message.substr(at + kWord.size());
    const bool list = rest.starts_with("s '");
    std::string_view names = rest.substr(list ? 2 : rest.starts_with(' ') ? 1 : 0);
    const bool is_word = before.empty() || !is_letter(before.back());
    const std::string flags = !is_word ? "" : list ? take_flags(names) : take_flag(names);
    if (flags.empty()) {
      shown.append(before).append(kWord);
      message = rest;
      continue;
    }
    if (ends_with_word(before, kArticle)) before.remove_suffix(kArticle.size());
    shown.append(before).append(flags);
    message = names;
  }
}

}  // namespace opencloc::cli

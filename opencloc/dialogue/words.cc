#include "opencloc/dialogue/words.h"

#include <algorithm>

#include "opencloc/text/clean_text.h"

namespace opencloc {

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  bool open = false;
  for (const char c : lower_case(text)) {
    const auto byte = static_cast<unsigned char>(c);
    if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && byte < 0x80) {
      open = false;
      continue;
    }
    if (!open) words.emplace_back();
    open = true;
    words.back() += c;
  }
  return words;
}

std::vector<std::string> stems_of(std::string_view text) {
  constexpr size_t kShortest = 3;  // "bus" and "gas" keep their s, "bee" its e
  std::vector<std::string> stems = words_of(text);
  for (std::string& word : stems) {
    if (word.size() > kShortest && word.ends_with("s") && !word.ends_with("ss")) word.pop_back();
    if (word.size() > kShortest && word.ends_with("e")) word.pop_back();
    if (word.ends_with("y")) word.back() = 'i';
  }
  return stems;
}

bool holds_words(const std::vector<std::string>& whole, const std::vector<std::string>& part) {
  return !part.empty() &&
         std::search(whole.begin(), whole.end(), part.begin(), part.end()) != whole.end();
}

}  // namespace opencloc

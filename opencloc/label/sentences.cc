#include "opencloc/label/sentences.h"

#include <algorithm>
#include <cctype>

namespace opencloc {
namespace {

bool is_letter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || static_cast<unsigned char>(c) >= 0x80;
}
bool is_digit(char c) { return c >= '0' && c <= '9'; }
// Within a word when letters stand on both sides.
bool joins(char c) { return c == '-' || c == '\'' || c == '.' || c == '_' || c == '/' || c == '&'; }

// The bytes of one well-formed UTF-8 character at `at`, 0 when it is none.
size_t utf8_length(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  const size_t length = first < 0x80                    ? 1
                        : first >= 0xf0 && first < 0xf5 ? 4
                        : first >= 0xe0 && first < 0xf0 ? 3
                        : first >= 0xc2 && first < 0xe0 ? 2
                                                        : 0;
  if (length == 0 || at + length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xc0) != 0x80) return 0;
  }
  return length;
}

struct CleanText {
  std::string text;
  std::vector<size_t> begin, end;  // of each byte: the bytes of the original character
};

// Lower case, typographic quotes and dashes as ASCII, no invalid bytes, no control characters.
CleanText cleaned(std::string_view text) {
  CleanText clean;
  std::string& result = clean.text;
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text, i);
    if (length == 0) {
      ++i;
      continue;
    }
    const std::string_view c = text.substr(i, length);
    const size_t begin = i;
    i += length;
    if (c == "\u2019" || c == "\u2018")
      result += '\'';
    else if (c == "\u2013" || c == "\u2014")
      result += " - ";
    else if (c == "\u201c" || c == "\u201d")
      result += '"';
    else if (c == "\u00a0")
      result += ' ';
    else if (length > 1)
      result += c;
    else if (c[0] == '\n' || c[0] == '\r')
      result += '\n';
    else if (static_cast<unsigned char>(c[0]) < 0x20 || c[0] == 0x7f)
      result += ' ';
    else
      result += static_cast<char>(std::tolower(static_cast<unsigned char>(c[0])));
    clean.begin.resize(result.size(), begin);
    clean.end.resize(result.size(), i);
  }
  return clean;
}

constexpr size_t kLongestWord = 40;  // bytes; longer ones are codes

}  // namespace

bool is_code(std::string_view word) {
  if (word.size() > kLongestWord) return true;
  for (const std::string_view part : {"www.", "http", ".com", ".net", ".org", ".jpg", ".jpeg",
                                      ".png", ".gif", ".html", "_", "/"}) {
    if (word.find(part) != std::string_view::npos) return true;
  }
  const auto digits = std::count_if(word.begin(), word.end(), is_digit);
  const auto letters = static_cast<std::ptrdiff_t>(word.size()) - digits;
  return (digits >= 2 && letters > 0 && word.find('-') == std::string_view::npos) || digits > 4;
}

std::vector<PlacedSentence> split_placed_sentences(std::string_view text, SplitCounts& counts) {
  const CleanText placed = cleaned(text);
  const std::string& clean = placed.text;
  std::vector<PlacedSentence> sentences(1);
  const auto end_sentence = [&sentences] {
    if (!sentences.back().words.empty()) sentences.emplace_back();
  };
  // A word on clean[begin, end).
  const auto add = [&](std::string word, size_t begin, size_t end) {
    PlacedSentence& sentence = sentences.back();
    sentence.words.push_back(std::move(word));
    sentence.begin.push_back(placed.begin[begin]);
    sentence.end.push_back(placed.end[end - 1]);
  };
  const auto add_word = [&](size_t begin, size_t end) {
    std::string word = clean.substr(begin, end - begin);
    if (is_code(word)) {
      ++counts.codes;
      return add("|", begin, end);
    }
    const bool possessive = word.size() > 2 && word.ends_with("'s");
    if (possessive) word.resize(word.size() - 2);
    const size_t middle = begin + word.size();
    add(std::move(word), begin, middle);
    if (possessive) add("'s", middle, end);
  };
  for (size_t i = 0; i < clean.size();) {
    const char c = clean[i];
    if (is_letter(c)) {
      size_t end = i;
      while (end < clean.size() &&
             (is_letter(clean[end]) ||
              (joins(clean[end]) && end + 1 < clean.size() && is_letter(clean[end + 1])))) {
        ++end;
      }
      add_word(i, end);
      i = end;
      continue;
    }
    ++i;
    if (c == ' ' || c == '"') continue;
    if (c == '\n' || c == '.' || c == '!' || c == '?' || c == ';' || c == ':') {
      end_sentence();
    } else if (c == '\'') {
      if (i < clean.size() && clean[i] == 's') continue;
    } else {
      add(c == ',' ? "," : c == '&' ? "&" : "|", i - 1, i);
    }
  }
  if (sentences.back().words.empty()) sentences.pop_back();
  return sentences;
}

std::vector<std::vector<std::string>> split_sentences(std::string_view text, SplitCounts& counts) {
  std::vector<std::vector<std::string>> sentences;
  for (auto& sentence : split_placed_sentences(text, counts))
    sentences.push_back(std::move(sentence.words));
  return sentences;
}

}  // namespace opencloc

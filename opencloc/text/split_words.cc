#include "opencloc/text/split_words.h"

#include <cstddef>
#include <cstdint>

#include <unicode/uchar.h>
#include <unicode/utf8.h>

namespace opencloc {
namespace {

enum class CharKind { kLetter, kNumber, kSpace, kOther };

CharKind kind_of(UChar32 c) {
  if (c < 0x80) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return CharKind::kLetter;
    if (c >= '0' && c <= '9') return CharKind::kNumber;
  }
  const uint32_t mask = U_GET_GC_MASK(c);
  if (mask & U_GC_L_MASK) return CharKind::kLetter;
  if (mask & U_GC_N_MASK) return CharKind::kNumber;
  return u_isspace(c) ? CharKind::kSpace : CharKind::kOther;
}

// The kind of the code point at `at`; `next` = where the one after it begins.
CharKind kind_at(std::string_view text, size_t at, size_t& next) {
  UChar32 c = 0;
  size_t i = at;
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  U8_NEXT_OR_FFFD(bytes, i, text.size(), c);
  next = i;
  return kind_of(c);
}

// Length of a fixed alternative at the start of `rest`, or 0.
size_t fixed_length(std::string_view rest) {
  static constexpr std::string_view kFixed[] = {
      "<|startoftext|>", "<|endoftext|>", "'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
  if (rest[0] != '\'' && rest[0] != '<') return 0;
  for (const std::string_view fixed : kFixed) {
    if (rest.starts_with(fixed)) return fixed.size();
  }
  return 0;
}

}  // namespace

void split_clip_words(std::string_view text, const std::function<void(std::string_view)>& word) {
  for (size_t at = 0; at < text.size();) {
    size_t end = at + fixed_length(text.substr(at));
    CharKind kind = CharKind::kOther;
    if (end == at) {
      kind = kind_at(text, at, end);
      if (kind == CharKind::kLetter || kind == CharKind::kOther) {
        for (size_t next = end; end < text.size() && kind_at(text, end, next) == kind;) end = next;
      }
    }
    if (kind != CharKind::kSpace) word(text.substr(at, end - at));
    at = end;
  }
}

}  // namespace opencloc

#include "opencloc/text/clean_text.h"

#include <algorithm>
#include <cassert>
#include <cctype>

#include <unicode/locid.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

namespace opencloc {
namespace {

icu::UnicodeString from_utf8(std::string_view text) {
  return icu::UnicodeString::fromUTF8(
      icu::StringPiece(text.data(), static_cast<int32_t>(text.size())));
}

std::string to_utf8(const icu::UnicodeString& text) {
  std::string out;
  text.toUTF8String(out);
  return out;
}

// Control characters that stand for nothing in a caption.
bool is_dropped_control(UChar32 c) {
  return (c < 0x20 && c != '\t' && c != '\n' && c != '\f' && c != '\r') || c == 0x7f ||
         (c >= 0x206a && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffc);
}

bool is_ligature(UChar32 c) {
  return (c >= 0x132 && c <= 0x133) || c == 0x149 || (c >= 0x1c4 && c <= 0x1cc) ||
         (c >= 0x1f1 && c <= 0x1f3) || (c >= 0xfb00 && c <= 0xfb06);
}

bool is_width_form(UChar32 c) { return c == 0x3000 || (c >= 0xff01 && c <= 0xffef); }

// ftfy's uncurl_quotes, fix_latin_ligatures, fix_character_width, remove_control_chars; then NFC.
icu::UnicodeString plain_typography(const icu::UnicodeString& text) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* nfc = icu::Normalizer2::getNFCInstance(status);
  const icu::Normalizer2* nfkc = icu::Normalizer2::getNFKCInstance(status);
  icu::UnicodeString out;
  for (int32_t i = 0; i < text.length(); i = text.moveIndex32(i, 1)) {
    const UChar32 c = text.char32At(i);
    if (is_dropped_control(c)) continue;
    if (c == 0x2bc || (c >= 0x2018 && c <= 0x201b)) {
      out.append(u'\'');
    } else if (c >= 0x201c && c <= 0x201f) {
      out.append(u'"');
    } else if (is_ligature(c) || is_width_form(c)) {
      out.append(nfkc->normalize(icu::UnicodeString(c), status));
    } else {
      out.append(c);
    }
  }
  icu::UnicodeString normalized = nfc->normalize(out, status);
  assert(U_SUCCESS(status));
  return normalized;
}

icu::UnicodeString fold_white_space(const icu::UnicodeString& text) {
  icu::UnicodeString out;
  bool gap = false;
  for (int32_t i = 0; i < text.length(); i = text.moveIndex32(i, 1)) {
    const UChar32 c = text.char32At(i);
    if (u_isspace(c)) {
      gap = true;
      continue;
    }
    if (gap && !out.isEmpty()) out.append(u' ');
    gap = false;
    out.append(c);
  }
  return out;
}

char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// clean_clip_text for plain ASCII without references: the same answer, many times faster.
std::string clean_ascii(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool gap = false;
  for (const char c : text) {
    if (u_isspace(c) && !is_dropped_control(c)) {
      gap = true;
    } else if (!is_dropped_control(c)) {
      if (gap && !out.empty()) out += ' ';
      gap = false;
      out += ascii_lower(c);
    }
  }
  return out;
}

}  // namespace

size_t utf8_characters(std::string_view text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; }));
}

bool is_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

std::string lower_case(std::string_view text) {
  if (is_ascii(text)) {
    std::string out(text);
    std::ranges::transform(out, out.begin(), ascii_lower);
    return out;
  }
  return to_utf8(from_utf8(text).toLower(icu::Locale::getRoot()));
}

std::string canonical_text(std::string_view text) {
  std::string kept = lower_case(text);
  std::erase_if(kept, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x80 && std::ispunct(byte) != 0;  // the "C" locale's are Python's
  });
  return to_utf8(fold_white_space(from_utf8(kept)));
}

std::string without_signs(std::string_view text) {
  const icu::UnicodeString all = from_utf8(text);
  icu::UnicodeString kept;
  for (int32_t i = 0; i < all.length(); i = all.moveIndex32(i, 1)) {
    const UChar32 c = all.char32At(i);
    const bool word = (U_GET_GC_MASK(c) & (U_GC_L_MASK | U_GC_N_MASK)) != 0 || c == '_';
    if (word || u_isspace(c)) kept.append(c);
  }
  return to_utf8(fold_white_space(kept));
}

std::string clean_clip_text(std::string_view text) {
  const bool has_references = text.find('&') != std::string_view::npos;
  if (!has_references && is_ascii(text)) return clean_ascii(text);
  std::string plain = to_utf8(plain_typography(from_utf8(text)));
  if (has_references) plain = html_unescape(html_unescape(plain));
  icu::UnicodeString folded = fold_white_space(from_utf8(plain));
  return to_utf8(folded.toLower(icu::Locale::getRoot()));
}

}  // namespace opencloc

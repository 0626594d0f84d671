// The cleaning CLIP's tokenizer does before it splits a text into words.
#pragma once

#include <string>
#include <string_view>

namespace opencloc {

// Python's html.unescape: "&lt;" -> "<", "&#233;" -> "é", "&notit;" -> "¬it;".
std::string html_unescape(std::string_view text);

// What open_clip's basic_clean + whitespace_clean + lower() give, as UTF-8: typographic quotes,
// ligatures and full-width forms made plain and NFC (the parts of ftfy that every text needs; its
// repair of wrongly decoded text is left out), HTML unescaped twice, runs of white space folded to
// one blank, none at the ends, full Unicode lower-casing. Invalid UTF-8 becomes U+FFFD.
std::string clean_clip_text(std::string_view text);

// SigLIP's canonicalize_text after lower-casing: ASCII punctuation removed, runs of white space
// folded to one blank, none at the ends. Invalid UTF-8 becomes U+FFFD.
std::string canonical_text(std::string_view text);

// Full Unicode lower-casing, independent of the locale. Invalid UTF-8 becomes U+FFFD.
std::string lower_case(std::string_view text);

// Letters and digits of any script, and '_', as Python's \w has them; runs of white space folded to
// one blank, none at the ends; every other sign left out. Invalid UTF-8 is left out.
std::string without_signs(std::string_view text);

// True when every byte is below 0x80.
bool is_ascii(std::string_view text);
// Code points of UTF-8.
size_t utf8_characters(std::string_view text);

}  // namespace opencloc

// JSON as Python writes it, made readable for a strict parser.
#pragma once

#include <string>
#include <string_view>

namespace opencloc {

// The numbers that stand for NaN and Infinity afterwards (with a '-' in front where it is minus
// infinity); a number that is written like one of them already is written as 0.0 instead.
inline constexpr std::string_view kNanNumber = "0e7";
inline constexpr std::string_view kInfinityNumber = "0e8";

// Replaces, in place: NaN, Infinity, and numbers too large for a double by the numbers above;
// surrogates without their other half by U+FFFD. Error (input) naming `where` for text nested
// deeper than 256 levels.
void make_strict_json(std::string& text, std::string_view where);

}  // namespace opencloc

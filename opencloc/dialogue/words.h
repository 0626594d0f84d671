// Words of names and texts, so that one can be looked for in the other.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace opencloc {

// Lower-case words: letters, digits and all that is not ASCII; a hyphen, an underscore or any other
// sign ends one. "Red-eyed fox's" -> red, eyed, fox, s.
std::vector<std::string> words_of(std::string_view text);
// The same without what a plural changes: "foxes" and "fox", "ponies" and "pony" are equal. Crude:
// it is for finding what may be the same, not for writing.
std::vector<std::string> stems_of(std::string_view text);

// Whether `part` stands in `whole`, in this order and side by side. False for an empty part.
bool holds_words(const std::vector<std::string>& whole, const std::vector<std::string>& part);

}  // namespace opencloc

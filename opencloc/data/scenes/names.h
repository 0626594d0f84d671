// Which emoji the generated scenes use, and what they are called.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace opencloc {

struct EmojiName {
  char32_t code_point = 0;
  std::string name;   // lower case, ASCII apostrophes, unique: "red apple"
  std::string group;  // Unicode's, e.g. "Food & Drink"
  bool held_out = false;
};

// Reads Unicode's emoji-test.txt. Left out: sequences (flags, skin tones, gendered roles: near
// copies of one another), and names that the drawing would make wrong or the picture cannot tell:
// those with a direction, a size or a phase of the moon in them, arrows, clock faces, letters and
// buttons. Fixed order: things (animals, food, places, activities, objects) before faces, people
// and symbols; within these shuffled by a hash of the name. Error (input) when the file is no such
// list.
std::vector<EmojiName> read_emoji_names(const std::filesystem::path& emoji_test_txt);

// The part of a name before " with ", " of " and the like: "bowl with spoon" -> "bowl".
std::string_view before_preposition(std::string_view name);
// The last word of that: "red apple" -> "apple", "glass of milk" -> "glass".
std::string_view head_noun(std::string_view name);

// A tenth of all names, by a hash of the name: never changes.
bool is_held_out_name(std::string_view name);

}  // namespace opencloc

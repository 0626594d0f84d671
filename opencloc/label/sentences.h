// A caption as sentences of lower-case words and punctuation marks, for the tagger.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace opencloc {

struct SplitCounts {
  int64_t codes = 0;  // file names, addresses, sizes: replaced by a break
};

// Words keep inner hyphens and dots ("double-decker", "u.s."); "'s" is a word of its own. Words
// that are no language (IMG_2041.JPG, www.example.com, 1920x1080) become the word "|", which ends
// any phrase. Invalid UTF-8 is dropped. Sentences end at . ! ? ; : and at line ends.
std::vector<std::vector<std::string>> split_sentences(std::string_view text, SplitCounts& counts);

// The same with the bytes of the text that each word stands on, [begin, end).
struct PlacedSentence {
  std::vector<std::string> words;
  std::vector<size_t> begin, end;  // of each word
};
std::vector<PlacedSentence> split_placed_sentences(std::string_view text, SplitCounts& counts);

// A word that names a file, an address, a size or an article number.
bool is_code(std::string_view word);

}  // namespace opencloc

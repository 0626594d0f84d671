// Which part of speech each word of a caption is. Evidence: the dictionary's readings, closed word
// lists, which tags follow which (scores set by hand, searched with Viterbi's algorithm), and the
// Link Grammar parse of the sentence where there is one. Captions are often fragments without a
// verb ("two dogs in the snow"), which the parser alone reads badly.
#pragma once

#include <string>
#include <vector>

#include "opencloc/label/link_grammar.h"

namespace opencloc {

enum class Tag : uint8_t {
  kStart,
  kDeterminer,
  kNumber,
  kAdjective,
  kNoun,
  kVerb,
  kGerund,      // -ing
  kParticiple,  // past tense or participle
  kAdverb,
  kPreposition,
  kTo,
  kConjunction,
  kPronoun,
  kAuxiliary,
  kComma,
  kBreak,  // other punctuation, words from the web, codes
};
inline constexpr int kTags = 16;

struct TaggerOptions {
  bool parse = true;          // use the parser, not the dictionary alone
  size_t longest_parse = 32;  // words; longer sentences go without
};

struct TaggerCounts {
  int64_t sentences = 0;
  int64_t parsed = 0;
  int64_t no_parse = 0;
  int64_t timed_out = 0;
  int64_t too_long = 0;
};

// Tags of the words of one sentence (as split_sentences() made them, lower case). Thread-safe.
std::vector<Tag> tag_words(const std::vector<std::string>& words, const LinkGrammar& grammar,
                           const TaggerOptions& options, TaggerCounts& counts);

}  // namespace opencloc

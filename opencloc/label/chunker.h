// Noun phrases in tagged words: (number | adjective | participle)* noun+. Determiners stay outside.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "opencloc/label/tagger.h"

namespace opencloc {

struct Chunk {
  std::vector<std::string> words;
  std::vector<size_t> places;  // of the words in the sentence
  size_t nouns_from = 0;       // words before it are attributes
  bool before_of = false;      // the word "of" follows
};

// Chunks of one sentence, in order, not overlapping. "black and white dog" and "small, wet dog" are
// one chunk each (the comma is left out); "the man's dog" is two.
std::vector<Chunk> noun_chunks(const std::vector<std::string>& words, const std::vector<Tag>& tags);

}  // namespace opencloc

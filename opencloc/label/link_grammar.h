// The Link Grammar parser of English (Sleator and Temperley, 1991; Debian's liblink-grammar),
// behind this file alone: which parts of speech a word can be, and which it is in a sentence.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace opencloc {

// Parts of speech a word can be, as bits. Words of closed classes (the, of, he) have none of these.
namespace pos {
inline constexpr uint8_t kNoun = 1;
inline constexpr uint8_t kAdjective = 2;
inline constexpr uint8_t kVerb = 4;     // base form or third person
inline constexpr uint8_t kPast = 8;     // past tense or participle
inline constexpr uint8_t kGerund = 16;  // -ing
inline constexpr uint8_t kAdverb = 32;
inline constexpr uint8_t kFunction = 64;  // the dictionary knows it, as something else
}  // namespace pos

// All member functions are thread-safe.
class LinkGrammar {
 public:
  // Throws Error (input) when the English dictionary is not installed, naming its package.
  LinkGrammar();
  ~LinkGrammar();
  LinkGrammar(const LinkGrammar&) = delete;
  LinkGrammar& operator=(const LinkGrammar&) = delete;

  // Bits of pos::*; 0 for a word the dictionary does not have. `word` in lower case.
  uint8_t readings(const std::string& word) const;

  struct Parse {
    std::vector<uint8_t> tags;  // one a word: a bit of pos::*, 0 = no opinion
    int unused = 0;             // words the grammar could not connect
    float cost = 0;             // of the best linkage
  };
  enum class Outcome { kParsed, kNoParse, kTimedOut };
  // The best linkage of a sentence of plain words (UTF-8, no spaces within). At most one second of
  // processor time: a pathological sentence gives kTimedOut and no parse.
  Outcome parse(const std::vector<std::string>& words, Parse& parse) const;

  // "5.12.0", for the record of what was done.
  static std::string version();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  mutable std::mutex mutex_;
  mutable std::unordered_map<std::string, uint8_t> readings_;
};

}  // namespace opencloc

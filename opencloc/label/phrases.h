// Captions to the phrases a detector is asked for (arXiv 2410.02746, section 4: the second step of
// VESL): English noun phrases, determiner? adjective* noun+, as the caption has them, lower case.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/label/tagger.h"

namespace opencloc {

// What came of the captions, and why candidates were dropped.
struct PhraseCounts {
  int64_t captions = 0;
  int64_t empty_captions = 0;  // without a word
  int64_t without_phrase = 0;  // with words, yet nothing to ask for
  int64_t fallback = 0;        // no noun phrase: the longest run of content words was taken
  int64_t phrases = 0;
  int64_t codes = 0;                       // file names, addresses, sizes
  std::map<std::string, int64_t> dropped;  // by reason
  TaggerCounts tagger;

  void add(const PhraseCounts& other);
  Json json() const;
};

// Reasons of PhraseCounts::dropped.
namespace dropped {
inline constexpr const char* kWeb = "web words";
inline constexpr const char* kStop = "stop words";
inline constexpr const char* kGroup = "group words";
inline constexpr const char* kDuplicate = "duplicates";
inline constexpr const char* kTooMany = "over the limit";
inline constexpr const char* kTooLong = "too long";
}  // namespace dropped

// One way from a caption to phrases. Implementations are thread-safe; whatever the bytes, a caption
// gives a list, never an error.
class PhraseExtractor {
 public:
  virtual ~PhraseExtractor() = default;
  // Distinct, in the order of the caption.
  virtual std::vector<std::string> extract(std::string_view caption,
                                           PhraseCounts& counts) const = 0;
  // Name and version, for the records.
  virtual std::string name() const = 0;
};

struct PhraseOptions {
  size_t most = 20;    // phrases a caption
  size_t longest = 8;  // words a phrase
  TaggerOptions tagger = {};
};

// Noun phrases, by the tagger and Link Grammar. Generic web words leave phrases, determiners are
// left out, adjectives, numbers and plurals are kept; "a group of X" is X; phrases that differ by a
// plural's s or a hyphen alone are one. Throws Error (input) without Link Grammar's dictionary.
std::unique_ptr<PhraseExtractor> noun_phrases(const PhraseOptions& options = {});

// The rival: all n-grams of the caption's words, as OWL-ST made its queries from alt-texts
// (Minderer et al., 2023), n up to `longest` there 10; stop-word-only and generic ones left out.
struct NgramOptions {
  size_t longest = 10;
  size_t most = 100;  // the shortest first
};
std::unique_ptr<PhraseExtractor> alt_text_ngrams(const NgramOptions& options = {});

}  // namespace opencloc

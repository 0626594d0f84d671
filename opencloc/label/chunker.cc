#include "opencloc/label/chunker.h"

#include <utility>

#include "opencloc/label/word_lists.h"

namespace opencloc {
namespace {

class Chunker {
 public:
  Chunker(const std::vector<std::string>& words, const std::vector<Tag>& tags)
      : words_(words), tags_(tags) {}

  std::vector<Chunk> run() {
    std::vector<Chunk> chunks;
    size_t i = 0;
    while (i < tags_.size()) {
      Chunk chunk;
      const size_t end = read(i, chunk);
      if (end == i) {
        ++i;
        continue;
      }
      chunk.before_of = end < words_.size() && words_[end] == "of";
      chunks.push_back(std::move(chunk));
      i = end;
    }
    return chunks;
  }

 private:
  Tag tag(size_t i) const { return i < tags_.size() ? tags_[i] : Tag::kBreak; }
  Tag before(size_t i) const { return i == 0 ? Tag::kStart : tags_[i - 1]; }

  static bool is_attribute(Tag tag) { return tag == Tag::kAdjective || tag == Tag::kNumber; }

  // A participle or -ing form that stands before its noun: "parked cars", not "(is) parking cars".
  bool is_premodifier(size_t i, bool inside) const {
    const Tag here = tag(i), next = tag(i + 1), last = before(i);
    if (here != Tag::kParticiple && here != Tag::kGerund) return false;
    const bool leads = next == Tag::kNoun || next == Tag::kAdjective ||
                       (next == Tag::kParticiple && tag(i + 2) == Tag::kNoun) ||
                       (next == Tag::kGerund && tag(i + 2) == Tag::kNoun);
    if (!leads) return false;
    if (inside || last == Tag::kDeterminer || last == Tag::kNumber) return true;
    if (last == Tag::kPreposition) return true;
    if (here == Tag::kGerund) return false;
    return last == Tag::kStart || last == Tag::kConjunction || last == Tag::kComma ||
           last == Tag::kBreak || last == Tag::kGerund || last == Tag::kVerb;
  }

  // "brightly (painted tram)"
  bool is_leading_adverb(size_t i, bool inside) const {
    if (tag(i) != Tag::kAdverb || !words_[i].ends_with("ly")) return false;
    return is_attribute(tag(i + 1)) ||
           is_premodifier(i + 1, inside || before(i) == Tag::kDeterminer);
  }

  // After attributes from `i` on, does a noun come?
  bool leads_to_noun(size_t i) const {
    const size_t first = i;
    while (is_attribute(tag(i)) || is_premodifier(i, i > first) ||
           is_leading_adverb(i, i > first) || (i > first && joins_attributes(i))) {
      ++i;
    }
    return tag(i) == Tag::kNoun;
  }

  // "and" or a comma between two attributes.
  bool joins_attributes(size_t i) const {
    if (i >= words_.size() || i == 0) return false;
    if (tag(i) != Tag::kComma && words_[i] != "and" && words_[i] != "&") return false;
    const bool both = tag(i) == Tag::kComma && i + 1 < words_.size() && words_[i + 1] == "and";
    const size_t next = both ? i + 2 : i + 1;
    return tag(i - 1) == Tag::kAdjective &&
           (tag(next) == Tag::kAdjective ||
            (tag(next) == Tag::kParticiple && is_premodifier(next, true)));
  }

  void take(size_t at, Chunk& chunk) const {
    chunk.words.push_back(words_[at]);
    chunk.places.push_back(at);
  }

  // Reads one chunk from `i` on; returns its end, `i` when there is none.
  size_t read(size_t i, Chunk& chunk) const {
    if (!leads_to_noun(i)) return i;
    size_t at = i;
    for (; tag(at) != Tag::kNoun; ++at) {
      if (tag(at) != Tag::kComma) take(at, chunk);
    }
    chunk.nouns_from = chunk.words.size();
    while (tag(at) == Tag::kNoun) {
      take(at++, chunk);
      // "snow covered slope": what came so far is part of the attribute.
      if (tag(at) == Tag::kParticiple && words::joins_noun(words_[at]) &&
          tag(at + 1) == Tag::kNoun) {
        take(at++, chunk);
        chunk.nouns_from = chunk.words.size();
      }
    }
    return at;
  }

  const std::vector<std::string>& words_;
  const std::vector<Tag>& tags_;
};

}  // namespace

std::vector<Chunk> noun_chunks(const std::vector<std::string>& words,
                               const std::vector<Tag>& tags) {
  return Chunker(words, tags).run();
}

}  // namespace opencloc

#include "opencloc/label/phrases.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <unordered_set>
#include <utility>

#include "opencloc/label/chunker.h"
#include "opencloc/label/sentences.h"
#include "opencloc/label/word_lists.h"

namespace opencloc {
namespace {

using Words = std::vector<std::string>;

std::string join(const Words& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

// What near-duplicates have in common: the last word in the singular, hyphens as blanks.
std::string key_of(const std::string& phrase) {
  std::string key = phrase;
  std::replace(key.begin(), key.end(), '-', ' ');
  const size_t blank = key.rfind(' ');
  const size_t last = blank == std::string::npos ? 0 : blank + 1;
  return key.substr(0, last) + std::string(words::singular(std::string_view(key).substr(last)));
}

// Collects one caption's phrases.
class Collector {
 public:
  Collector(size_t most, PhraseCounts& counts) : most_(most), counts_(counts) {}
  void drop(const char* reason) { ++counts_.dropped[reason]; }
  void add(const Words& phrase) {
    std::string text = join(phrase);
    if (!seen_.insert(key_of(text)).second) return drop(dropped::kDuplicate);
    if (phrases_.size() >= most_) return drop(dropped::kTooMany);
    phrases_.push_back(std::move(text));
  }
  bool empty() const { return phrases_.empty(); }
  Words finish() {
    counts_.phrases += static_cast<int64_t>(phrases_.size());
    return std::move(phrases_);
  }

 private:
  const size_t most_;
  PhraseCounts& counts_;
  Words phrases_;
  std::unordered_set<std::string> seen_;
};

std::vector<Words> counted_sentences(std::string_view caption, PhraseCounts& counts) {
  ++counts.captions;
  SplitCounts split;
  auto sentences = split_sentences(caption, split);
  counts.codes += split.codes;
  if (sentences.empty()) ++counts.empty_captions;
  return sentences;
}

bool is_content(const std::string& word) {
  return std::isalpha(static_cast<unsigned char>(word[0])) != 0 && word.size() > 2 &&
         !words::is_web(word) && !words::is_stop(word) && !words::is_determiner(word) &&
         !words::is_pronoun(word) && !words::is_preposition(word) && !words::is_conjunction(word) &&
         !words::is_auxiliary(word);
}

class NounPhrases : public PhraseExtractor {
 public:
  explicit NounPhrases(const PhraseOptions& options) : options_(options) {}

  std::string name() const override {
    return "noun-phrases link-grammar-" + LinkGrammar::version();
  }

  Words extract(std::string_view caption, PhraseCounts& counts) const override {
    const auto sentences = counted_sentences(caption, counts);
    if (sentences.empty()) return {};
    Collector collector(options_.most, counts);
    for (const auto& sentence : sentences) {
      const auto tags = tag_words(sentence, grammar_, options_.tagger, counts.tagger);
      for (const auto& chunk : noun_chunks(sentence, tags)) take(chunk, collector);
    }
    if (collector.empty()) fall_back(sentences, collector, counts);
    if (collector.empty()) ++counts.without_phrase;
    return collector.finish();
  }

 private:
  // A chunk without its web words; several phrases when one stood in the middle.
  void take(const Chunk& chunk, Collector& collector) const {
    if (chunk.before_of && words::is_group(chunk.words.back()))
      return collector.drop(dropped::kGroup);
    Words part;
    bool noun = false, web = false;
    const auto finish = [&] {
      if (!part.empty() && noun) {
        if (names_nothing(part, chunk)) {
          collector.drop(dropped::kStop);
        } else if (part.size() > options_.longest) {
          collector.drop(dropped::kTooLong);
        } else {
          collector.add(part);
        }
      } else if (web) {
        collector.drop(dropped::kWeb);
      }
      part.clear();
      noun = web = false;
    };
    for (size_t i = 0; i < chunk.words.size(); ++i) {
      if (words::is_web(chunk.words[i])) {
        web = true;
        if (noun) finish();
        continue;
      }
      part.push_back(chunk.words[i]);
      noun |= i >= chunk.nouns_from;
    }
    finish();
  }

  // "left side", "lots": no noun that could be boxed. `part` is a piece of the chunk.
  static bool names_nothing(const Words& part, const Chunk& chunk) {
    const size_t nouns = std::min(part.size(), chunk.words.size() - chunk.nouns_from);
    const auto first_noun = part.end() - static_cast<std::ptrdiff_t>(nouns);
    return std::all_of(first_noun, part.end(), words::is_place) ||
           std::all_of(part.begin(), part.end(), [](const std::string& word) {
             return words::is_stop(word) || words::is_number(word);
           });
  }

  // Nothing that looks like a noun phrase: the longest run of content words, at most three.
  static void fall_back(const std::vector<Words>& sentences, Collector& collector,
                        PhraseCounts& counts) {
    constexpr size_t kMost = 3;
    Words best, run;
    for (const auto& sentence : sentences) {
      run.clear();
      for (const auto& word : sentence) {
        if (!is_content(word))
          run.clear();
        else if (run.size() < kMost)
          run.push_back(word);
        if (run.size() > best.size()) best = run;
      }
    }
    if (best.empty()) return;
    ++counts.fallback;
    collector.add(best);
  }

  const PhraseOptions options_;
  LinkGrammar grammar_;
};

class Ngrams : public PhraseExtractor {
 public:
  explicit Ngrams(const NgramOptions& options) : options_(options) {}

  std::string name() const override { return "ngrams-" + std::to_string(options_.longest); }

  Words extract(std::string_view caption, PhraseCounts& counts) const override {
    const auto sentences = counted_sentences(caption, counts);
    if (sentences.empty()) return {};
    Collector collector(options_.most, counts);
    for (size_t n = 1; n <= options_.longest; ++n) {
      for (const auto& sentence : sentences) add_ngrams(sentence, n, collector);
    }
    if (collector.empty()) ++counts.without_phrase;
    return collector.finish();
  }

 private:
  static void add_ngrams(const Words& sentence, size_t n, Collector& collector) {
    for (size_t begin = 0; begin + n <= sentence.size(); ++begin) {
      const Words gram(sentence.begin() + static_cast<std::ptrdiff_t>(begin),
                       sentence.begin() + static_cast<std::ptrdiff_t>(begin + n));
      const auto is_mark = [](const auto& word) { return word == "," || word == "|"; };
      if (std::any_of(gram.begin(), gram.end(), is_mark)) continue;
      if (std::none_of(gram.begin(), gram.end(), is_content)) {
        collector.drop(dropped::kStop);
      } else {
        collector.add(gram);
      }
    }
  }

  const NgramOptions options_;
};

}  // namespace

void PhraseCounts::add(const PhraseCounts& other) {
  captions += other.captions;
  empty_captions += other.empty_captions;
  without_phrase += other.without_phrase;
  fallback += other.fallback;
  phrases += other.phrases;
  codes += other.codes;
  for (const auto& [reason, count] : other.dropped) dropped[reason] += count;
  tagger.sentences += other.tagger.sentences;
  tagger.parsed += other.tagger.parsed;
  tagger.no_parse += other.tagger.no_parse;
  tagger.timed_out += other.tagger.timed_out;
  tagger.too_long += other.tagger.too_long;
}

Json PhraseCounts::json() const {
  Json result;
  result["captions"] = captions;
  result["phrases"] = phrases;
  result["empty_captions"] = empty_captions;
  result["without_phrase"] = without_phrase;
  result["fallback"] = fallback;
  result["codes"] = codes;
  result["dropped"] = dropped;
  result["sentences"] = {{"all", tagger.sentences},
                         {"parsed", tagger.parsed},
                         {"no parse", tagger.no_parse},
                         {"timed out", tagger.timed_out},
                         {"too long to parse", tagger.too_long}};
  return result;
}

std::unique_ptr<PhraseExtractor> noun_phrases(const PhraseOptions& options) {
  return std::make_unique<NounPhrases>(options);
}

std::unique_ptr<PhraseExtractor> alt_text_ngrams(const NgramOptions& options) {
  return std::make_unique<Ngrams>(options);
}

}  // namespace opencloc

#include "opencloc/label/tagger.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <limits>

#include "opencloc/label/word_lists.h"

namespace opencloc {
namespace {

constexpr float kNever = -1e6f;
constexpr float kParseWeight = 1.2f;  // of agreeing with a parse that uses every word

using Scores = std::array<float, kTags>;

constexpr size_t at(Tag tag) { return static_cast<size_t>(tag); }

// transition[from][to] for open classes; what is not named costs nothing.
struct Transitions {
  std::array<Scores, kTags> score{};

  void row(Tag from, float adjective, float noun, float verb, float gerund, float participle,
           float adverb) {
    auto& to = score[at(from)];
    to[at(Tag::kAdjective)] = adjective;
    to[at(Tag::kNoun)] = noun;
    to[at(Tag::kVerb)] = verb;
    to[at(Tag::kGerund)] = gerund;
    to[at(Tag::kParticiple)] = participle;
    to[at(Tag::kAdverb)] = adverb;
  }
  Transitions() {
    //                      adj    noun   verb   ing    -ed    adverb
    row(Tag::kStart, 0.0f, -0.2f, -2.5f, -1.2f, -1.2f, -1.0f);
    row(Tag::kDeterminer, 0.0f, 0.0f, -6.0f, -0.8f, -0.6f, -1.5f);
    row(Tag::kNumber, 0.0f, 0.0f, -5.0f, -0.8f, -0.6f, -1.5f);
    row(Tag::kPreposition, 0.0f, 0.0f, -4.0f, -0.6f, -0.9f, -1.5f);
    row(Tag::kTo, -0.8f, -0.6f, 0.3f, -2.0f, -2.0f, -1.5f);
    row(Tag::kConjunction, 0.0f, -0.2f, -0.7f, -0.6f, -0.6f, -1.0f);
    row(Tag::kComma, 0.0f, -0.2f, -1.2f, -0.3f, -0.5f, -1.0f);
    row(Tag::kBreak, 0.0f, -0.2f, -2.5f, -1.2f, -1.2f, -1.0f);
    row(Tag::kPronoun, -3.0f, -3.5f, 0.3f, -0.8f, -0.5f, -0.8f);
    row(Tag::kAuxiliary, -0.3f, -2.0f, -2.0f, 0.3f, 0.3f, -0.3f);
    row(Tag::kAdjective, -0.4f, 0.4f, -3.0f, -1.5f, -1.5f, -2.5f);
    row(Tag::kNoun, -2.2f, -0.6f, -0.5f, -0.2f, -0.3f, -0.8f);
    row(Tag::kVerb, -1.0f, -1.0f, -4.0f, -0.8f, -1.8f, -0.6f);
    row(Tag::kGerund, -0.8f, -0.8f, -4.0f, -2.5f, -2.5f, -0.6f);
    row(Tag::kParticiple, -1.2f, -0.9f, -4.0f, -1.2f, -3.0f, -0.6f);
    row(Tag::kAdverb, -0.1f, -1.5f, -0.4f, -0.2f, 0.0f, -1.0f);
    // From open classes to closed ones.
    const auto pair = [this](Tag from, Tag to, float value) { score[at(from)][at(to)] = value; };
    pair(Tag::kAdjective, Tag::kPreposition, -1.2f);
    pair(Tag::kAdjective, Tag::kTo, -1.2f);
    pair(Tag::kAdjective, Tag::kBreak, -1.0f);
    pair(Tag::kAdjective, Tag::kDeterminer, -3.0f);
    pair(Tag::kAdjective, Tag::kPronoun, -2.0f);
    pair(Tag::kAdjective, Tag::kAuxiliary, -2.0f);
    pair(Tag::kAdjective, Tag::kNumber, -2.0f);
    pair(Tag::kNoun, Tag::kDeterminer, -1.4f);
    pair(Tag::kNoun, Tag::kNumber, -1.0f);
    pair(Tag::kVerb, Tag::kDeterminer, 0.4f);
    pair(Tag::kVerb, Tag::kAuxiliary, -3.0f);
    pair(Tag::kGerund, Tag::kDeterminer, 0.4f);
    pair(Tag::kParticiple, Tag::kPreposition, 0.3f);
    pair(Tag::kDeterminer, Tag::kPreposition, -2.0f);
  }
};

// The class of a word that has but one, kStart for a word of an open class.
Tag closed_class(const std::string& word) {
  if (word == ",") return Tag::kComma;
  if (!std::isalnum(static_cast<unsigned char>(word[0])) &&
      static_cast<unsigned char>(word[0]) < 0x80 && word != "&") {
    return Tag::kBreak;
  }
  if (word == "to") return Tag::kTo;
  if (words::is_number(word)) return Tag::kNumber;
  if (words::is_determiner(word)) return Tag::kDeterminer;
  if (words::is_auxiliary(word)) return Tag::kAuxiliary;
  if (words::is_pronoun(word)) return Tag::kPronoun;
  if (words::is_conjunction(word)) return Tag::kConjunction;
  if (words::is_preposition(word)) return Tag::kPreposition;
  return Tag::kStart;
}

// What a word the dictionary lacks may be, by its ending.
uint8_t guess(const std::string& word) {
  if (word.find('-') != std::string::npos) return pos::kAdjective | pos::kNoun;
  if (word.size() > 4 && word.ends_with("ing")) return pos::kGerund | pos::kNoun;
  if (word.size() > 3 && word.ends_with("ed")) return pos::kPast | pos::kAdjective;
  if (word.size() > 3 && word.ends_with("ly")) return pos::kAdverb;
  return pos::kNoun;
}

Scores emission(const std::string& word, uint8_t readings, uint8_t parsed, float parse_weight) {
  Scores score;
  score.fill(kNever);
  const auto allow = [&score](Tag tag, float value) {
    score[at(tag)] = std::max(score[at(tag)], value);
  };
  if (words::is_also_adjective(word)) readings |= pos::kAdjective;
  if (words::is_irregular_participle(word)) readings |= pos::kPast;
  const bool noun = (readings & pos::kNoun) != 0, adjective = (readings & pos::kAdjective) != 0;
  if (noun) allow(Tag::kNoun, words::is_color(word) ? -2.0f : adjective ? -0.7f : 0.0f);
  // "wearing" is an adjective in the dictionary.
  const bool progressive_verb = word.ends_with("ing") && words::is_mostly_verb(word);
  if (adjective) allow(Tag::kAdjective, progressive_verb ? -2.0f : 0.0f);
  if ((readings & pos::kVerb) != 0) {
    const bool rarely = words::is_rarely_verb(word);
    allow(Tag::kVerb, rarely ? -3.0f : noun || adjective ? -0.5f : 0.0f);
    if (words::is_mostly_verb(word)) {
      allow(Tag::kVerb, 0.7f);
      score[at(Tag::kNoun)] -= 0.7f;
    }
  }
  if ((readings & pos::kPast) != 0) allow(Tag::kParticiple, adjective || noun ? -0.4f : 0.0f);
  if ((readings & pos::kGerund) != 0 || (word.size() > 4 && word.ends_with("ing") && !noun)) {
    const bool rather_noun = words::is_mostly_noun(word);
    allow(Tag::kGerund, rather_noun ? -1.5f : 0.0f);
    if (noun && !rather_noun) score[at(Tag::kNoun)] -= 1.0f;
    score[at(Tag::kVerb)] = kNever;  // the dictionary's .v of -ing forms is the progressive
  }
  if ((readings & pos::kAdverb) != 0) allow(Tag::kAdverb, adjective ? -1.5f : noun ? -0.8f : 0.0f);
  constexpr uint8_t kOpen =
      pos::kNoun | pos::kAdjective | pos::kVerb | pos::kPast | pos::kGerund | pos::kAdverb;
  if ((readings & kOpen) == 0) allow(Tag::kAdverb, 0.0f);  // known, of no open class: passed over
  const std::pair<uint8_t, Tag> kTagOf[] = {
      {pos::kNoun, Tag::kNoun},     {pos::kAdjective, Tag::kAdjective},
      {pos::kVerb, Tag::kVerb},     {pos::kPast, Tag::kParticiple},
      {pos::kGerund, Tag::kGerund}, {pos::kAdverb, Tag::kAdverb}};
  for (const auto& [bit, tag] : kTagOf) {
    // A progressive is .v in the dictionary.
    const bool progressive = parsed == pos::kVerb && bit == pos::kGerund && word.ends_with("ing");
    if ((parsed == bit || progressive) && score[at(tag)] > kNever) score[at(tag)] += parse_weight;
  }
  return score;
}

// Number agreement and other facts about two neighbouring words.
float agreement(const std::string& before, Tag from, const std::string& word, Tag to) {
  if (from == Tag::kNoun && to == Tag::kNoun && before != "sports" && words::is_plural(before))
    return -0.8f;
  if (from != Tag::kNoun || to != Tag::kVerb) return 0;
  const bool third_person = word.ends_with('s') && !word.ends_with("ss");
  return words::is_plural(before) == third_person ? -1.8f : 0.4f;
}

std::vector<uint8_t> parse_tags(const std::vector<std::string>& words, const LinkGrammar& grammar,
                                const TaggerOptions& options, TaggerCounts& counts, float& weight) {
  ++counts.sentences;
  weight = 0;
  if (!options.parse) return {};
  if (words.size() > options.longest_parse) {
    ++counts.too_long;
    return {};
  }
  LinkGrammar::Parse parse;
  switch (grammar.parse(words, parse)) {
    case LinkGrammar::Outcome::kParsed:
      ++counts.parsed;
      weight = kParseWeight / static_cast<float>(1 + parse.unused);
      return parse.tags;
    case LinkGrammar::Outcome::kNoParse:
      ++counts.no_parse;
      break;
    case LinkGrammar::Outcome::kTimedOut:
      ++counts.timed_out;
      break;
  }
  return {};
}

}  // namespace

std::vector<Tag> tag_words(const std::vector<std::string>& words, const LinkGrammar& grammar,
                           const TaggerOptions& options, TaggerCounts& counts) {
  static const Transitions kTransitions;
  const size_t count = words.size();
  float parse_weight = 0;
  const auto parsed = parse_tags(words, grammar, options, counts, parse_weight);

  std::vector<Scores> best(count + 1);
  std::vector<std::array<uint8_t, kTags>> from(count + 1);
  best[0].fill(kNever);
  best[0][at(Tag::kStart)] = 0;
  for (size_t i = 0; i < count; ++i) {
    Scores emitted;
    if (const Tag closed = closed_class(words[i]); closed != Tag::kStart) {
      emitted.fill(kNever);
      emitted[at(closed)] = 0;
    } else {
      const uint8_t known = grammar.readings(words[i]);
      emitted = emission(words[i], known != 0 ? known : guess(words[i]),
                         parsed.empty() ? 0 : parsed[i], parse_weight);
    }
    best[i + 1].fill(2 * kNever);
    for (size_t to = 0; to < kTags; ++to) {
      if (emitted[to] <= kNever) continue;
      for (size_t before = 0; before < kTags; ++before) {
        if (best[i][before] <= kNever) continue;
        float score = best[i][before] + kTransitions.score[before][to] + emitted[to];
        if (i > 0)
          score +=
              agreement(words[i - 1], static_cast<Tag>(before), words[i], static_cast<Tag>(to));
        if (score > best[i + 1][to]) {
          best[i + 1][to] = score;
          from[i + 1][to] = static_cast<uint8_t>(before);
        }
      }
    }
  }
  // The sentence ends as before a full stop.
  size_t tag = 0;
  float last = std::numeric_limits<float>::lowest();
  for (size_t i = 0; i < kTags; ++i) {
    const float score = best[count][i] + kTransitions.score[i][at(Tag::kBreak)];
    if (score > last) {
      last = score;
      tag = i;
    }
  }
  std::vector<Tag> tags(count);
  for (size_t i = count; i > 0; --i) {
    tags[i - 1] = static_cast<Tag>(tag);
    tag = from[i][tag];
  }
  return tags;
}

}  // namespace opencloc

#include "opencloc/label/link_grammar.h"

#include <cctype>
#include <string_view>

extern "C" {
#include <link-grammar/link-includes.h>
// After it.
#include <link-grammar/dict-api.h>
}

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

constexpr char kSubscript = '\3';  // between a dictionary's word and its part of speech
constexpr int kMaxSeconds = 1;
constexpr int kMaxLinkages = 8;
constexpr int kMaxUnused = 2;           // more makes parses that mean little, and take long
constexpr size_t kMaxCached = 200'000;  // words; then the cache begins anew

// "n-u" -> kNoun, ...
uint8_t bit_of(std::string_view subscript) {
  if (subscript.empty()) return pos::kFunction;
  if (subscript.starts_with("v-d") || subscript == "w-d" || subscript == "q-d") return pos::kPast;
  switch (subscript[0]) {
    case 'n':
    case 's':
    case 'p':
    case 'l':
    case 'b':
    case 'f':
    case 'm':
    case 'o':
      return pos::kNoun;
    case 'a':
      return pos::kAdjective;
    case 'v':
      return pos::kVerb;
    case 'g':
      return pos::kGerund;
    case 'e':
      return pos::kAdverb;
    default:
      return pos::kFunction;
  }
}

void drop_message(lg_errinfo*, void*) {}

struct Deleter {
  void operator()(Parse_Options options) const { parse_options_delete(options); }
  void operator()(Sentence sentence) const { sentence_delete(sentence); }
  void operator()(Linkage linkage) const { linkage_delete(linkage); }
};
template <typename Handle>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, Deleter>;

Owned<Parse_Options> make_options() {
  Owned<Parse_Options> options(parse_options_create());
  parse_options_set_verbosity(options.get(), 0);
  parse_options_set_max_parse_time(options.get(), kMaxSeconds);
  parse_options_set_linkage_limit(options.get(), kMaxLinkages);
  parse_options_set_spell_guess(options.get(), 0);
  parse_options_set_islands_ok(options.get(), false);
  return options;
}

}  // namespace

struct LinkGrammar::Impl {
  uint8_t look_up(const std::string& word) const;
  Dictionary dictionary = nullptr;
};

uint8_t LinkGrammar::Impl::look_up(const std::string& word) const {
  uint8_t bits = 0;
  Dict_node* list = dictionary_lookup_list(dictionary, word.c_str());
  for (const Dict_node* node = list; node != nullptr; node = node->right) {
    const std::string_view entry(node->string);
    const size_t mark = entry.find(kSubscript);
    const std::string_view subscript =
        mark == std::string_view::npos ? std::string_view() : entry.substr(mark + 1);
    // Parts of idioms say nothing of the word alone.
    if (!subscript.starts_with("_I") && !entry.ends_with("_I")) bits |= bit_of(subscript);
  }
  free_lookup_list(dictionary, list);
  return bits;
}

LinkGrammar::LinkGrammar() : impl_(std::make_unique<Impl>()) {
  lg_error_set_handler(drop_message, nullptr);
  impl_->dictionary = dictionary_create_lang("en");
  if (impl_->dictionary == nullptr) {
    throw Error::input("the English dictionary of Link Grammar is missing", "label",
                       "install link-grammar-dictionaries-en, or use the setting 'phrases=ngrams'");
  }
}

LinkGrammar::~LinkGrammar() { dictionary_delete(impl_->dictionary); }

std::string LinkGrammar::version() { return LINK_VERSION_STRING; }

uint8_t LinkGrammar::readings(const std::string& word) const {
  const std::lock_guard lock(mutex_);
  if (const auto known = readings_.find(word); known != readings_.end()) return known->second;
  uint8_t bits = impl_->look_up(word);
  if (bits == 0 && !word.empty()) {  // names: Italy
    std::string name = word;
    name[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(name[0])));
    bits = impl_->look_up(name);
  }
  if (readings_.size() >= kMaxCached) readings_.clear();
  readings_.emplace(word, bits);
  return bits;
}

LinkGrammar::Outcome LinkGrammar::parse(const std::vector<std::string>& words,
                                        Parse& result) const {
  std::string text;
  std::vector<size_t> starts;  // byte of each word
  for (const auto& word : words) {
    if (!text.empty()) text += ' ';
    starts.push_back(text.size());
    text += word;
  }
  const auto options = make_options();
  const Owned<Sentence> sentence(sentence_create(text.c_str(), impl_->dictionary));
  if (sentence == nullptr || sentence_split(sentence.get(), options.get()) < 0)
    return Outcome::kNoParse;
  int linkages = 0;
  for (int unused = 0; unused <= kMaxUnused && linkages <= 0; ++unused) {
    parse_options_set_min_null_count(options.get(), unused);
    parse_options_set_max_null_count(options.get(), unused);
    linkages = sentence_parse(sentence.get(), options.get());
    if (parse_options_resources_exhausted(options.get()) != 0) return Outcome::kTimedOut;
  }
  if (linkages <= 0 || sentence_num_valid_linkages(sentence.get()) == 0) return Outcome::kNoParse;
  const Owned<Linkage> linkage(linkage_create(0, sentence.get(), options.get()));
  if (linkage == nullptr) return Outcome::kNoParse;

  result.tags.assign(words.size(), 0);
  result.unused = sentence_null_count(sentence.get());
  result.cost = linkage_disjunct_cost(linkage.get());
  size_t at = 0;
  for (size_t w = 0; w < linkage_get_num_words(linkage.get()); ++w) {
    const std::string_view entry(linkage_get_word(linkage.get(), w));
    const size_t begin = linkage_get_word_byte_start(linkage.get(), w);
    while (at + 1 < starts.size() && starts[at + 1] <= begin) ++at;
    if (at >= starts.size() || starts[at] != begin) continue;  // walls, affixes
    // "bus.n", "double-decker[!<HYPHENATED-WORDS>].a", "[of]" (unused)
    const size_t dot = entry.rfind('.');
    if (entry.starts_with('[') || dot == std::string_view::npos || dot == 0) continue;
    const uint8_t bit = bit_of(entry.substr(dot + 1));
    if (bit != pos::kFunction) result.tags[at] = bit;
  }
  return Outcome::kParsed;
}

}  // namespace opencloc

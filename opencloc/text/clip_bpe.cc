#include "opencloc/text/clip_bpe.h"

#include <algorithm>
#include <queue>

#include "opencloc/base/error.h"
#include "opencloc/text/clean_text.h"
#include "opencloc/text/split_words.h"

namespace opencloc {
namespace {

constexpr std::string_view kWordEnd = "</w>";

uint64_t pair_key(int32_t left, int32_t right) {
  return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) | static_cast<uint32_t>(right);
}

// The start and end tokens as OpenAI and transformers spell them, or as open_clip does.
bool is_start(std::string_view word) {
  return word == "<|startoftext|>" || word == "<start_of_text>";
}
bool is_end(std::string_view word) { return word == "<|endoftext|>" || word == "<end_of_text>"; }

// The text of a symbol of the vocabulary: each printable stand-in is a byte, "</w>" a blank.
class SymbolTexts {
 public:
  explicit SymbolTexts(const std::vector<std::string>& byte_symbols) {
    for (size_t byte = 0; byte < 256; ++byte) bytes_[byte_symbols[byte]] = static_cast<char>(byte);
  }
  std::string text_of(std::string_view symbol) const {
    const bool ends = symbol.ends_with(kWordEnd);
    if (ends) symbol.remove_suffix(kWordEnd.size());
    std::string text;
    while (!symbol.empty()) {
      const size_t length = static_cast<uint8_t>(symbol[0]) < 0x80 ? 1 : 2;  // all are below U+0800
      const auto found = bytes_.find(std::string(symbol.substr(0, length)));
      if (found != bytes_.end()) text += found->second;
      symbol.remove_prefix(std::min(length, symbol.size()));
    }
    return ends ? text + ' ' : text;
  }

 private:
  std::unordered_map<std::string, char> bytes_;
};

// The symbols of a word under merging: a list linked through its array, so that a merge is O(1).
struct Symbol {
  int32_t id = 0;
  int32_t previous = -1;  // -1 = none
  int32_t next = -1;
  bool alive = true;
};

// A pair that could be merged; stale once either symbol has changed.
struct Candidate {
  int32_t rank;
  int32_t left;  // position
  int32_t left_id;
  int32_t right_id;
  int32_t merged_id;
  // The lowest rank comes first; within a rank, the leftmost.
  bool operator<(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : left > other.left;
  }
};

}  // namespace

ClipBpe::ClipBpe(const BpeVocabulary& vocabulary, std::vector<TokenizerFile> files,
                 std::string_view name)
    : files_(std::move(files)) {
  const auto id_of = [&](const std::string& symbol) {
    const auto found = vocabulary.ids.find(symbol);
    if (found == vocabulary.ids.end()) {
      throw Error::input("the vocabulary lacks the symbol '" + symbol + "'", name,
                         "use the vocabulary and the merges of one CLIP tokenizer");
    }
    return found->second;
  };
  const std::vector<std::string> bytes = bpe_byte_symbols();
  for (size_t byte = 0; byte < 256; ++byte) {
    byte_ids_[byte] = id_of(bytes[byte]);
    last_byte_ids_[byte] = id_of(bytes[byte] + std::string(kWordEnd));
  }
  merges_.reserve(vocabulary.merges.size());
  for (size_t rank = 0; rank < vocabulary.merges.size(); ++rank) {
    const auto& [left, right] = vocabulary.merges[rank];
    merges_.emplace(pair_key(id_of(left), id_of(right)),
                    Merge{static_cast<int32_t>(rank), id_of(left + right)});
  }
  const SymbolTexts symbol_texts(bytes);
  bool has_start = false;
  bool has_end = false;
  for (const auto& [symbol, id] : vocabulary.ids) {
    vocab_size_ = std::max<int64_t>(vocab_size_, int64_t{id} + 1);
    if (is_start(symbol)) start_id_ = id, has_start = true;
    if (is_end(symbol)) end_id_ = id, has_end = true;
    if (!is_start(symbol) && !is_end(symbol)) texts_.emplace(id, symbol_texts.text_of(symbol));
  }
  if (!has_start || !has_end) {
    throw Error::input("the vocabulary has no <|startoftext|> or no <|endoftext|>", name,
                       "use a CLIP tokenizer's vocab.json");
  }
}

const ClipBpe::Merge* ClipBpe::find_merge(int32_t left, int32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

// Round after round, the pair with the lowest rank is merged wherever it stands, left to right. The
// queue gives the same rounds in O(n log n), so that a hostile word of a megabyte costs no minutes:
// pairs born in a round wait in `born` until the round is over.
std::vector<int32_t> ClipBpe::encode_word(std::string_view word) const {
  if (is_start(word)) return {start_id_};
  if (is_end(word)) return {end_id_};
  std::vector<Symbol> symbols(word.size());
  const auto count = static_cast<int32_t>(word.size());
  for (int32_t i = 0; i < count; ++i) {
    const auto byte = static_cast<uint8_t>(word[static_cast<size_t>(i)]);
    const bool last = i + 1 == count;
    symbols[static_cast<size_t>(i)] = {last ? last_byte_ids_[byte] : byte_ids_[byte], i - 1,
                                       last ? -1 : i + 1};
  }
  const auto at = [&](int32_t i) -> Symbol& { return symbols[static_cast<size_t>(i)]; };

  std::priority_queue<Candidate> queue;
  std::vector<Candidate> born;
  const auto consider = [&](int32_t left) {
    if (left < 0 || at(left).next < 0) return;
    const int32_t left_id = at(left).id;
    const int32_t right_id = at(at(left).next).id;
    if (const Merge* merge = find_merge(left_id, right_id)) {
      born.push_back({merge->rank, left, left_id, right_id, merge->id});
    }
  };
  for (int32_t i = 0; i < count; ++i) consider(i);

  int32_t round = -1;
  while (!queue.empty() || !born.empty()) {
    if (queue.empty() || queue.top().rank != round) {  // the round is over
      for (const Candidate& candidate : born) queue.push(candidate);
      born.clear();
      round = queue.top().rank;
    }
    const Candidate merge = queue.top();
    queue.pop();
    Symbol& left = at(merge.left);
    if (!left.alive || left.id != merge.left_id || left.next < 0) continue;
    Symbol& right = at(left.next);
    if (right.id != merge.right_id) continue;
    left.id = merge.merged_id;
    left.next = right.next;
    right.alive = false;
    if (left.next >= 0) at(left.next).previous = merge.left;
    consider(left.previous);
    consider(merge.left);
  }

  std::vector<int32_t> ids;
  for (int32_t i = count > 0 ? 0 : -1; i >= 0; i = at(i).next) ids.push_back(at(i).id);
  return ids;
}

std::string ClipBpe::decode(std::span<const int32_t> ids) const {
  std::string text;
  for (const int32_t id : ids) {
    if (const auto found = texts_.find(id); found != texts_.end()) text += found->second;
  }
  if (text.ends_with(' ')) text.pop_back();
  return text;
}

std::vector<int32_t> ClipBpe::encode(std::string_view text) const {
  std::vector<int32_t> ids;
  split_clip_words(clean_clip_text(text), [&](std::string_view word) {
    if (cache_.append(word, ids)) return;
    const std::vector<int32_t> word_ids = encode_word(word);
    cache_.put(word, word_ids);
    ids.insert(ids.end(), word_ids.begin(), word_ids.end());
  });
  return ids;
}

}  // namespace opencloc

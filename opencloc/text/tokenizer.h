// Text -> token ids. Goals: the ids of OpenAI's CLIP and of SentencePiece models, exactly; the
// fixed length form that a text tower reads; counting what truncation costs.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace opencloc {

// A file that makes up a tokenizer, under the name it has in a model directory.
struct TokenizerFile {
  std::string name;
  std::string bytes;
};

// All member functions are thread-safe.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Ids of the text alone, without start, end or padding. Any bytes are accepted: invalid UTF-8 is
  // read as U+FFFD. Empty text gives no ids.
  virtual std::vector<int32_t> encode(std::string_view text) const = 0;

  // Ids are in [0, vocab_size()): the rows of the text tower's token embedding.
  virtual int64_t vocab_size() const = 0;
  // Put before the text; CLIP has one, SentencePiece models do not.
  virtual std::optional<int32_t> start_id() const = 0;
  // Put after the text, always there. The text tower pools at the FIRST position that holds it, so
  // that a pad_id() equal to it does no harm.
  virtual int32_t end_id() const = 0;
  virtual int32_t pad_id() const = 0;

  // The text of ids a model wrote: what encode() would have read, up to blanks, case and what the
  // vocabulary cannot say. Start and end give nothing; padding, which in CLIP's vocabulary is the
  // id of a letter, is the caller's to leave out. The text may be invalid UTF-8 (CLIP's ids may be
  // any bytes). Error (input): this kind of tokenizer only reads.
  virtual std::string decode(std::span<const int32_t> ids) const;

  // What save_tokenizer() writes: enough for load_tokenizer() to make this tokenizer again.
  virtual const std::vector<TokenizerFile>& files() const = 0;
};

struct TokenizedText {
  std::vector<int32_t> ids;  // [T] = [start] text end pad...; T = the context length
  int64_t length = 0;        // ids before the padding, start and end included
  int64_t dropped = 0;       // ids of the text that did not fit

  bool truncated() const { return dropped > 0; }
};

// The fixed-length form. Too long a text is cut so that the end token is the last id.
// `context_length` >= 2, else Error (input).
TokenizedText tokenize(const Tokenizer& tokenizer, std::string_view text, int64_t context_length);

// How much truncation costs. Thread-safe.
class TruncationCounter {
 public:
  void add(const TokenizedText& text);
  // texts(), texts_cut(), tokens() and tokens_cut(), and those of another counter.
  std::array<int64_t, 4> counts() const;
  void add(const std::array<int64_t, 4>& counts);

  int64_t texts() const { return texts_; }
  int64_t texts_cut() const { return texts_cut_; }
  int64_t tokens() const { return tokens_; }  // of the texts as they came, before the cut
  int64_t tokens_cut() const { return tokens_cut_; }
  // "12 of 300 texts (4.0%) were cut, losing 1.2% of all tokens".
  std::string summary() const;

 private:
  std::atomic<int64_t> texts_ = 0;
  std::atomic<int64_t> texts_cut_ = 0;
  std::atomic<int64_t> tokens_ = 0;
  std::atomic<int64_t> tokens_cut_ = 0;
};

// Loads a tokenizer from one of its files or from a folder (a model directory) that holds, in this
// order of preference: tokenizer.model, spiece.model or a single other *.model (SentencePiece);
// vocab.json + merges.txt; tokenizer.json; bpe_simple_vocab*.txt or .txt.gz (CLIP BPE).
// Error (input) when there is none or it cannot be read.
std::shared_ptr<const Tokenizer> load_tokenizer(const std::filesystem::path& path);

// Writes the tokenizer's files into a (model) directory, so that it stands alone.
void save_tokenizer(const Tokenizer& tokenizer, const std::filesystem::path& directory);

}  // namespace opencloc

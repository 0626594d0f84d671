#include "opencloc/text/sentence_piece.h"

#include <unordered_map>

#include <fmt/ranges.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/text/clean_text.h"
#include "opencloc/text/sentence_piece_library.h"

namespace opencloc {

namespace {
constexpr const char* kStart = "<|startoftext|>";
}  // namespace

SentencePieceTokenizer::SentencePieceTokenizer(std::string model_bytes, std::string_view name,
                                               const SentencePieceOptions& options)
    : model_(sentence_piece_library().make_model()), siglip_(options.siglip) {
  if (!model_->load(model_bytes).empty()) {
    throw Error::input("not a SentencePiece model", name, "give the .model file of a tokenizer");
  }
  if (model_->eos_id() < 0) {
    throw Error::input("the SentencePiece model has no end token </s>", name,
                       "train it with one (eos_id >= 0)");
  }
  files_.push_back({siglip_ ? "spiece.model" : "tokenizer.model", std::move(model_bytes)});
  if (!options.config.empty()) files_.push_back({"tokenizer_config.json", options.config});
}

SentencePieceTokenizer::~SentencePieceTokenizer() = default;

std::vector<int32_t> SentencePieceTokenizer::encode(std::string_view text) const {
  std::vector<int32_t> ids;
  const std::string message =
      model_->encode(siglip_ ? canonical_text(text) : lower_case(text), ids);
  if (!message.empty()) throw Error::failed("SentencePiece: " + message, "text");
  return ids;
}

int64_t SentencePieceTokenizer::vocab_size() const { return model_->vocab_size(); }
std::optional<int32_t> SentencePieceTokenizer::start_id() const {
  const int id = model_->id_of(kStart);
  return id < 0 ? std::nullopt : std::optional<int32_t>(id);
}

std::string SentencePieceTokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  const std::string message = model_->decode({ids.begin(), ids.end()}, text);
  if (!message.empty()) throw Error::failed("SentencePiece: " + message, "ids");
  return text;
}

int32_t SentencePieceTokenizer::end_id() const { return model_->eos_id(); }
int32_t SentencePieceTokenizer::pad_id() const {
  const int pad = model_->pad_id();
  return pad >= 0 && !siglip_ ? pad : model_->eos_id();
}

namespace {

// Feeds captions to the trainer: lower-cased, without the line breaks and blanks it would stumble
// over, skipping empty ones.
class Captions {
 public:
  Captions(const CaptionSource& next_caption, int64_t limit) : next_(next_caption), left_(limit) {}

  // False = no more.
  bool next(std::string& caption) {
    for (caption.clear(); caption.empty();) {
      std::optional<std::string> raw;
      if (left_ > 0) raw = next_();
      if (!raw) return false;
      --left_;
      // A trainer's sentence: one line, no more than it accepts (longer ones it would drop).
      constexpr size_t kMaxCaptionBytes = 4000;
      caption = clean_clip_text(std::string_view(*raw).substr(0, kMaxCaptionBytes));
    }
    ++count_;
    return true;
  }
  int64_t count() const { return count_; }

 private:
  const CaptionSource& next_;
  int64_t left_;
  int64_t count_ = 0;
};

}  // namespace

void train_sentencepiece(const CaptionSource& next_caption, const SentencePieceTraining& options,
                         const std::filesystem::path& out) {
  if (options.vocab_size < 16) {
    throw Error::input("a vocabulary of " + std::to_string(options.vocab_size) + " is too small",
                       "tokenizer", "ask for at least 16 pieces; 4096 to 32768 are usual");
  }
  std::unordered_map<std::string, std::string> flags = {
      // Of the two, BPE gives a quarter fewer tokens on captions: whole words become pieces.
      {"model_type", "bpe"},
      {"vocab_size", std::to_string(options.vocab_size)},
      {"hard_vocab_limit", "false"},
      // Folds case inside the model, so that any SentencePiece program encodes as we do.
      {"normalization_rule_name", "nmt_nfkc_cf"},
      {"character_coverage", "0.9999"},
      {"pad_id", "0"},
      {"eos_id", "1"},
      {"unk_id", "2"},
      {"bos_id", "-1"},
      {"num_threads", "1"},  // the sums, and so the pieces, must not depend on the machine
      {"minloglevel", "2"},  // errors come back as a status
  };
  if (options.start_token) flags.emplace("control_symbols", kStart);
  if (!options.symbols.empty())
    flags.emplace("user_defined_symbols", fmt::format("{}", fmt::join(options.symbols, ",")));
  if (!options.characters.empty()) flags.emplace("required_chars", options.characters);
  if (options.split_digits) flags.emplace("split_digits", "true");
  Captions captions(next_caption, options.max_captions);
  std::string model;
  const std::string message = sentence_piece_library().train(
      flags, [&](std::string& caption) { return captions.next(caption); }, model);
  if (captions.count() == 0) {
    throw Error::input("no captions to train a tokenizer from", out.string(),
                       "give data with captions or alt-texts, or a ready tokenizer");
  }
  if (!message.empty()) {
    throw Error::input("SentencePiece could not learn from the captions: " + message, out.string(),
                       "give more text, or a ready tokenizer");
  }
  write_file(out, model);
}

}  // namespace opencloc

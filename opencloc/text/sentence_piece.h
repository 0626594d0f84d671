// SentencePiece models, T5's included, and training one from captions. The library's own types stay
// in the source file.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/text/tokenizer.h"

namespace opencloc {

class SentencePieceModel;

struct SentencePieceOptions {
  // transformers' SiglipTokenizer: punctuation is removed, too, and the end token pads.
  bool siglip = false;
  // tokenizer_config.json, which says so; saved beside the model where it is not empty.
  std::string config;
};

// Text is lower-cased before it is encoded (spec: the paper's rule, also for T5's cased model).
class SentencePieceTokenizer : public Tokenizer {
 public:
  // `model_bytes` = the content of a .model file; `name` is for messages.
  // Error (input) when it is no SentencePiece model or has no end token.
  SentencePieceTokenizer(std::string model_bytes, std::string_view name,
                         const SentencePieceOptions& options = {});
  ~SentencePieceTokenizer() override;

  std::vector<int32_t> encode(std::string_view text) const override;
  int64_t vocab_size() const override;
  // Only of models trained with SentencePieceTraining::start_token.
  std::optional<int32_t> start_id() const override;
  int32_t end_id() const override;
  // The model's own, else (and for SigLIP) its end token.
  int32_t pad_id() const override;
  std::string decode(std::span<const int32_t> ids) const override;
  const std::vector<TokenizerFile>& files() const override { return files_; }

 private:
  std::unique_ptr<SentencePieceModel> model_;
  bool siglip_;
  std::vector<TokenizerFile> files_;
};

// One caption a call; nullopt = no more.
using CaptionSource = std::function<std::optional<std::string>()>;

struct SentencePieceTraining {
  // An upper bound: small corpora give fewer pieces.
  int vocab_size = 8192;
  // Captions read at most; more add time and memory, not better pieces.
  int64_t max_captions = 1'000'000;
  // The model gets the piece <|startoftext|>, which captioners begin with.
  bool start_token = false;
  // Pieces that stand for themselves wherever a text holds them, e.g. "<region>".
  std::vector<std::string> symbols = {};
  // Characters that have a piece however rare they are, e.g. ":".
  std::string characters = {};
  // Every digit is a piece, as LLaMA has it: for texts with coordinates.
  bool split_digits = false;
};

// Trains a lower-cased BPE model with T5's convention (pad 0, </s> 1, unk 2) and writes it to
// `out` (whole or not at all). The same captions in the same order give the same bytes.
// Error (input) when there is no text to learn from.
void train_sentencepiece(const CaptionSource& next_caption, const SentencePieceTraining& options,
                         const std::filesystem::path& out);

}  // namespace opencloc

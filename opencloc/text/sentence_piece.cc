#include "opencloc/text/sentence_piece.h"

#include <unordered_map>

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/text/clean_text.h"

namespace opencloc {

namespace sp = sentencepiece;

struct SentencePieceTokenizer::Impl {
  sp::SentencePieceProcessor processor;
};

SentencePieceTokenizer::SentencePieceTokenizer(std::string model_bytes, std::string_view name)
    : impl_(std::make_unique<Impl>()) {
  const sp::util::Status status = impl_->processor.LoadFromSerializedProto(model_bytes);
  if (!status.ok()) {
    throw Error::input("not a SentencePiece model", name, "give the .model file of a tokenizer");
  }
  if (impl_->processor.eos_id() < 0) {
    throw Error::input("the SentencePiece model has no end token </s>", name,
                       "train it with one (eos_id >= 0)");
  }
  files_.push_back({"tokenizer.model", std::move(model_bytes)});
}

SentencePieceTokenizer::~SentencePieceTokenizer() = default;

std::vector<int32_t> SentencePieceTokenizer::encode(std::string_view text) const {
  std::vector<int32_t> ids;
  const sp::util::Status status = impl_->processor.Encode(lower_case(text), &ids);
  if (!status.ok()) throw Error::failed("SentencePiece: " + status.ToString(), "text");
  return ids;
}

int64_t SentencePieceTokenizer::vocab_size() const { return impl_->processor.GetPieceSize(); }
int32_t SentencePieceTokenizer::end_id() const { return impl_->processor.eos_id(); }
int32_t SentencePieceTokenizer::pad_id() const {
  const int pad = impl_->processor.pad_id();
  return pad >= 0 ? pad : impl_->processor.eos_id();
}

namespace {

// Feeds captions to the trainer: lower-cased, without the line breaks and blanks it would stumble
// over, skipping empty ones.
class Captions : public sp::SentenceIterator {
 public:
  Captions(const CaptionSource& next_caption, int64_t limit) : next_(next_caption), left_(limit) {
    Next();
  }

  bool done() const override { return done_; }
  const std::string& value() const override { return caption_; }
  sp::util::Status status() const override { return {}; }
  int64_t count() const { return count_; }

  void Next() override {
    for (caption_.clear(); caption_.empty();) {
      std::optional<std::string> caption;
      if (left_ > 0) caption = next_();
      if (!caption) {
        done_ = true;
        return;
      }
      --left_;
      // A trainer's sentence: one line, no more than it accepts (longer ones it would drop).
      constexpr size_t kMaxBytes = 4000;
      caption_ = clean_clip_text(std::string_view(*caption).substr(0, kMaxBytes));
    }
    ++count_;
  }

 private:
  const CaptionSource& next_;
  int64_t left_;
  int64_t count_ = 0;
  bool done_ = false;
  std::string caption_;
};

}  // namespace

void train_sentencepiece(const CaptionSource& next_caption, const SentencePieceTraining& options,
                         const std::filesystem::path& out) {
  if (options.vocab_size < 16) {
    throw Error::input("a vocabulary of " + std::to_string(options.vocab_size) + " is too small",
                       "tokenizer", "ask for at least 16 pieces; 4096 to 32768 are usual");
  }
  const std::unordered_map<std::string, std::string> flags = {
      {"model_type", "unigram"},
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
  Captions captions(next_caption, options.max_captions);
  if (captions.done()) {
    throw Error::input("no captions to train a tokenizer from", out.string(),
                       "give data with captions or alt-texts, or a ready tokenizer");
  }
  std::string model;
  const sp::util::Status status = sp::SentencePieceTrainer::Train(flags, &captions, &model);
  if (!status.ok()) {
    throw Error::input("SentencePiece could not learn from the captions: " + status.ToString(),
                       out.string(), "give more text, or a ready tokenizer");
  }
  write_file(out, model);
}

}  // namespace opencloc

// The part that is linked with libsentencepiece: a shared object of its own, embedded into the
// library (see sentence_piece_library.h).
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include "opencloc/text/sentence_piece_library.h"

namespace opencloc {
namespace {

namespace sp = sentencepiece;

std::string message_of(const sp::util::Status& status) {
  return status.ok() ? std::string() : status.ToString();
}

class Model : public SentencePieceModel {
 public:
  std::string load(const std::string& model_bytes) override {
    return message_of(processor_.LoadFromSerializedProto(model_bytes));
  }
  std::string encode(const std::string& text, std::vector<int>& ids) const override {
    return message_of(processor_.Encode(text, &ids));
  }
  std::string decode(const std::vector<int>& ids, std::string& text) const override {
    return message_of(processor_.Decode(ids, &text));
  }
  int id_of(const std::string& piece) const override {
    const int id = processor_.PieceToId(piece);  // of unknown ones that of <unk>
    return processor_.IdToPiece(id) == piece ? id : -1;
  }
  int vocab_size() const override { return processor_.GetPieceSize(); }
  int eos_id() const override { return processor_.eos_id(); }
  int pad_id() const override { return processor_.pad_id(); }

 private:
  sp::SentencePieceProcessor processor_;
};

class Sentences : public sp::SentenceIterator {
 public:
  explicit Sentences(const SentencePieceLibrary::NextSentence& next) : next_(next) { Next(); }
  bool done() const override { return done_; }
  void Next() override { done_ = !next_(sentence_); }
  const std::string& value() const override { return sentence_; }
  sp::util::Status status() const override { return {}; }

 private:
  const SentencePieceLibrary::NextSentence& next_;
  std::string sentence_;
  bool done_ = false;
};

class Library : public SentencePieceLibrary {
 public:
  std::unique_ptr<SentencePieceModel> make_model() const override {
    return std::make_unique<Model>();
  }
  std::string train(const std::unordered_map<std::string, std::string>& flags,
                    const NextSentence& next, std::string& model_bytes) const override {
    Sentences sentences(next);
    return message_of(sp::SentencePieceTrainer::Train(flags, &sentences, &model_bytes));
  }
};

}  // namespace
}  // namespace opencloc

extern "C" __attribute__((visibility("default"))) const opencloc::SentencePieceLibrary*
opencloc_sentence_piece_library() {
  static const opencloc::Library library;
  return &library;
}

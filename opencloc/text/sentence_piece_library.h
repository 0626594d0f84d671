// SentencePiece behind pure virtual interfaces, so that the library itself is loaded at run time
// into a scope of its own. Why: Debian's libsentencepiece exports its private copy of protobuf, and
// libtorch needs the real libprotobuf; linked into one program, one calls into the other and
// crashes before main().
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace opencloc {

// One loaded model. Thread-safe once loaded. Messages are empty when all went well.
class SentencePieceModel {
 public:
  virtual ~SentencePieceModel() = default;
  virtual std::string load(const std::string& model_bytes) = 0;
  virtual std::string encode(const std::string& text, std::vector<int>& ids) const = 0;
  virtual std::string decode(const std::vector<int>& ids, std::string& text) const = 0;
  virtual int id_of(const std::string& piece) const = 0;  // -1: none
  virtual int vocab_size() const = 0;
  virtual int eos_id() const = 0;  // -1: none
  virtual int pad_id() const = 0;  // -1: none
};

class SentencePieceLibrary {
 public:
  virtual ~SentencePieceLibrary() = default;
  virtual std::unique_ptr<SentencePieceModel> make_model() const = 0;

  // False = no more sentences.
  using NextSentence = std::function<bool(std::string& sentence)>;
  // `flags`: the library's own. Returns a message, empty when `model_bytes` was made.
  virtual std::string train(const std::unordered_map<std::string, std::string>& flags,
                            const NextSentence& next, std::string& model_bytes) const = 0;
};

// Loaded at the first call. Throws Error (failed) when libsentencepiece is not installed.
// Thread-safe.
const SentencePieceLibrary& sentence_piece_library();

}  // namespace opencloc

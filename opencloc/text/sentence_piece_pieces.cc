#include "opencloc/text/sentence_piece_pieces.h"

#include <cstring>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

// The fields of one message of Protocol Buffers. https://protobuf.dev/programming-guides/encoding/
class Fields {
 public:
  Fields(std::string_view bytes, std::string_view where) : left_(bytes), where_(where) {}

  // The next field; false at the end.
  bool next() {
    if (left_.empty()) return false;
    const uint64_t tag = varint();
    number_ = tag >> 3;
    switch (tag & 7) {
      case 0:
        integer_ = varint();
        bytes_ = {};
        break;
      case 1:
        bytes_ = take(8);
        break;
      case 2:
        bytes_ = take(varint());
        break;
      case 5:
        bytes_ = take(4);
        break;
      default:
        damaged();
    }
    return true;
  }

  uint64_t number() const { return number_; }
  uint64_t integer() const { return integer_; }
  std::string_view bytes() const { return bytes_; }
  float single() const {
    float value = 0;
    if (bytes_.size() != sizeof value) damaged();
    std::memcpy(&value, bytes_.data(), sizeof value);
    return value;
  }

 private:
  [[noreturn]] void damaged() const {
    throw Error::input("not a SentencePiece model", where_, "give the .model file of a tokenizer");
  }
  std::string_view take(uint64_t count) {
    if (count > left_.size()) damaged();
    const std::string_view taken = left_.substr(0, count);
    left_.remove_prefix(count);
    return taken;
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<uint8_t>(take(1)[0]);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    damaged();
  }

  std::string_view left_, where_;
  uint64_t number_ = 0, integer_ = 0;
  std::string_view bytes_;
};

}  // namespace

std::vector<SentencePiecePiece> sentence_piece_pieces(std::string_view model_bytes,
                                                      std::string_view where) {
  // sentencepiece_model.proto: ModelProto.pieces = 1; SentencePiece.{piece, score, type} = 1, 2, 3.
  std::vector<SentencePiecePiece> pieces;
  for (Fields model(model_bytes, where); model.next();) {
    if (model.number() != 1) continue;
    SentencePiecePiece piece;
    for (Fields part(model.bytes(), where); part.next();) {
      if (part.number() == 1) piece.text = part.bytes();
      if (part.number() == 2) piece.score = part.single();
      if (part.number() == 3) piece.kind = static_cast<PieceKind>(part.integer());
    }
    pieces.push_back(std::move(piece));
  }
  if (pieces.empty())
    throw Error::input("not a SentencePiece model", where, "give the .model file of a tokenizer");
  return pieces;
}

}  // namespace opencloc

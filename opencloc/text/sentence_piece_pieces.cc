#include "opencloc/text/sentence_piece_pieces.h"

#include "opencloc/base/error.h"
#include "opencloc/base/protobuf.h"

namespace opencloc {

std::vector<SentencePiecePiece> sentence_piece_pieces(std::string_view model_bytes,
                                                      std::string_view where) {
  // sentencepiece_model.proto: ModelProto.pieces = 1; SentencePiece.{piece, score, type} = 1, 2, 3.
  constexpr std::string_view kWhat = "not a SentencePiece model";
  constexpr std::string_view kHint = "give the .model file of a tokenizer";
  const protobuf::Origin origin{kWhat, where, kHint};
  std::vector<SentencePiecePiece> pieces;
  protobuf::Fields model(model_bytes, origin);
  for (protobuf::Field field; model.next(field);) {
    if (field.number != 1) continue;
    SentencePiecePiece piece;
    protobuf::Fields parts(field.bytes, origin);
    for (protobuf::Field part; parts.next(part);) {
      if (part.number == 1) piece.text = part.bytes;
      if (part.number == 2) piece.score = part.single();
      if (part.number == 3) piece.kind = static_cast<PieceKind>(part.value);
    }
    pieces.push_back(std::move(piece));
  }
  if (pieces.empty()) throw Error::input(kWhat, where, kHint);
  return pieces;
}

}  // namespace opencloc

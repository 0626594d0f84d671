// The pieces of a SentencePiece model with their scores, read from the file's own bytes: programs
// that have their own copy of the algorithm (llama.cpp) want them listed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace opencloc {

// SentencePiece's numbers of its kinds, which llama.cpp shares.
enum class PieceKind : int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

struct SentencePiecePiece {
  std::string text;  // a blank is U+2581
  float score = 0;
  PieceKind kind = PieceKind::kNormal;
};

// In the order of their ids. Error (input) for bytes that are no SentencePiece model.
std::vector<SentencePiecePiece> sentence_piece_pieces(std::string_view model_bytes,
                                                      std::string_view where);

}  // namespace opencloc

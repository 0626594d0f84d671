// A picture and its dialogues as the one sequence of ids that a multimodal language model reads,
// in LLaVA's words without its system sentence (Liu et al., 2023):
//
//   USER: <image> ask ASSISTANT: say</s> USER: ask ASSISTANT: say</s> ...
//
// The place of the picture is as many ids as it has tokens. Boxes become numbers in the trainer's
// frame (dialogue/frame.h), and a region that a question points at may be followed by <region>,
// whose embedding is the region's vector (Ferret, You et al., 2023).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/dialogue/dialogue.h"
#include "opencloc/dialogue/frame.h"
#include "opencloc/text/tokenizer.h"

namespace opencloc {

// Symbols that the tokenizer must have (SentencePieceTraining::symbols).
inline constexpr std::string_view kImageSymbol = "<image>", kRegionSymbol = "<region>";

// A text of a dialogue with its boxes and points in the frame's numbers.
std::string text_in_frame(std::string_view text, const Dialogue& dialogue, PictureSize picture,
                          const FrameOptions& frame);

// The id of a symbol. Error (input) for a tokenizer that cuts it into pieces.
int32_t symbol_id(const Tokenizer& tokenizer, std::string_view symbol);

struct SequenceOptions {
  FrameOptions frame = {};
  int64_t image_tokens = 0;  // N, of a picture
  int64_t context_length = 0;
  // <region> follows every box and point of a question, never those of an answer.
  bool region_symbols = false;
};

// What a <region> of the sequence stands for, in [0, 1] of the stored picture.
struct SequenceRegion {
  Box box;  // of a point: the pixel it lies in, without area
  bool is_point = false;
  PicturePoint point = {};
  bool operator==(const SequenceRegion&) const = default;
};

struct Sequence {
  std::vector<int32_t> ids;
  // Beside each id: 1 for the words of answers and their ends, which alone are learned.
  std::vector<uint8_t> learned;
  std::vector<SequenceRegion> regions;  // one a <region>, in order
  int64_t turns = 0;
  int64_t turns_left_out = 0;  // there was no room for them
};

class SequenceMaker {
 public:
  // `tokenizer` outlives it. Error (input): a symbol is missing, or not even the picture fits.
  SequenceMaker(const Tokenizer& tokenizer, SequenceOptions options);

  // The turns of all dialogues in order; what does not fit whole is left out.
  Sequence learn(const std::vector<Dialogue>& dialogues, PictureSize picture) const;
  // A dialogue up to its last question, whose answer is to be written. Error (input): no room.
  Sequence ask(const Dialogue& dialogue, PictureSize picture) const;

 private:
  struct Part {
    std::vector<int32_t> ask, say;  // without the picture
    std::vector<SequenceRegion> regions;
  };
  Part part(const Dialogue& dialogue, const Turn& turn, PictureSize picture) const;
  void add(const Part& part, bool with_answer, Sequence& sequence) const;

  const Tokenizer& tokenizer_;
  const SequenceOptions options_;
  int32_t image_id_, region_id_;
};

}  // namespace opencloc

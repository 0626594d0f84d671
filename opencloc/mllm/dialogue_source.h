// The loader's sequences: a record's dialogues as what the model learns of its picture.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "opencloc/data/load/sequence_source.h"
#include "opencloc/data/shard/skips.h"
#include "opencloc/mllm/sequence.h"

namespace opencloc {

namespace skip {
inline constexpr std::string_view kNoRoom = "question without room in the context";
}  // namespace skip

struct DialogueSourceOptions {
  SequenceOptions sequence;
  // Dialogues of a picture that are read at a time, at most, drawn anew in every epoch; 0 = all.
  int64_t dialogues = 4;
  int64_t cloud_points = 0;  // P of each region; 0 = none
};

class DialogueSource : public SequenceSource {
 public:
  // `tokenizer` outlives it, and `skips`, which counts the broken dialogues of samples that are
  // used all the same, and the questions for which there is no room. Error (input) as
  // SequenceMaker.
  DialogueSource(const Tokenizer& tokenizer, DialogueSourceOptions options, SkipCounter& skips);

  // BadSample (skip::kNoDialogue) for a record without a dialogue that can be used and fits.
  PreparedSequence make(const Record& record, const std::string& name, int width, int height,
                        Rng& rng) const override;

 private:
  const DialogueSourceOptions options_;
  const SequenceMaker maker_;
  SkipCounter& skips_;
};

// A sequence as the loader's, its regions with their points. Those of a point lie in 11 x 11 pixels
// around it, as Ferret has it.
PreparedSequence prepared(Sequence sequence, int width, int height, int64_t cloud_points, Rng& rng);

}  // namespace opencloc

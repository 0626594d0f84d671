// Captions from a captioner (CoCa), word by word: greedy, or beam search. Keys and values of the
// words so far are kept, so that a word costs one place of the text tower and of the decoder.
#pragma once

#include <cstdint>
#include <vector>

#include <torch/types.h>

#include "opencloc/model/cloc/cloc.h"

namespace opencloc {

struct GenerateOptions {
  // Of the tokenizer.
  int32_t start_id = 0;
  int32_t end_id = 0;
  int64_t vocab_size = 0;  // ids from here on are never written
  // Ids a caption is cut after when it does not end before; at most longest_caption().
  int64_t max_tokens = 0;
  // Texts followed at a time. 1 = greedy: the likeliest next id each time. More: the text with the
  // best mean log-likelihood of its ids among that many that came to an end.
  int64_t beams = 1;
};

struct GeneratedText {
  std::vector<int32_t> ids;  // without start and end
  bool ended = false;        // by the end token, not by max_tokens
};

// Ids of the longest caption a model writes: its places without start and end.
int64_t longest_caption(const ModelConfig& config);

// captioning [B, Q, E] of an ImageFeatures -> B texts. Start and padding are never written. The
// same input gives the same texts. A model whose numbers are not finite writes nothing.
std::vector<GeneratedText> generate(Cloc& model, const torch::Tensor& captioning,
                                    const GenerateOptions& options);

}  // namespace opencloc

// Texts -> embeddings, for every use of a model outside training.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <torch/types.h>

#include "opencloc/dist/group.h"
#include "opencloc/encode/text_groups.h"
#include "opencloc/model/cloc/cloc.h"
#include "opencloc/text/tokenizer.h"

namespace opencloc {

// A text tower, of a CLIP or of a detector.
struct TextTowerUse {
  int64_t context_length = 0;
  int64_t embed_dim = 0;
  bool padding_is_ignored = false;                     // texts may be cut after their end
  std::function<torch::Tensor(torch::Tensor)> encode;  // ids [u, L], on the CPU -> [u, E]
};
// `model` outlives the result.
TextTowerUse text_tower_of(Cloc& model);

// Turns lists of texts into embeddings: each distinct text goes through the tower once, in groups
// of about equal length. Not thread-safe.
class TextEncoder {
 public:
  // `tokenizer` outlives the encoder. At most `batch_size` texts go through at a time.
  TextEncoder(TextTowerUse tower, const Tokenizer& tokenizer, int64_t batch_size);
  TextEncoder(Cloc& model, const Tokenizer& tokenizer, int64_t batch_size)
      : TextEncoder(text_tower_of(model), tokenizer, batch_size) {}

  struct Tokens {
    TokenRows rows;         // of the texts, padded to the context: [n, T], [n]
    std::vector<bool> cut;  // whether the text was longer than the context
  };
  Tokens tokenize(const std::vector<std::string>& texts);

  // -> [texts, E], not normalised, on the CPU. With a group a call of all its processes with the
  // same texts, which share the work and all have the result.
  torch::Tensor encode(const std::vector<std::string>& texts, dist::Group& group = dist::alone()) {
    return encode(tokenize(texts).rows, group);
  }
  torch::Tensor encode(const TokenRows& rows, dist::Group& group = dist::alone()) const {
    return encode_lists({rows}, group).front();
  }
  // The same of several lists, each of which goes through by itself.
  std::vector<torch::Tensor> encode_lists(const std::vector<TokenRows>& lists,
                                          dist::Group& group = dist::alone()) const;
  const TruncationCounter& truncation() const { return truncation_; }
  TruncationCounter& truncation() { return truncation_; }

 private:
  const TextTowerUse tower_;
  const Tokenizer& tokenizer_;
  const int64_t batch_size_;
  TruncationCounter truncation_;
};

}  // namespace opencloc

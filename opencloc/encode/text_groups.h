// Texts as rows of token ids, each distinct one once, in groups of about equal length. A causal
// tower gives the same embeddings for a text that is cut after its end, so each group is cut after
// its longest text: names of regions are far shorter than captions.
#pragma once

#include <cstdint>
#include <vector>

#include <torch/types.h>

namespace opencloc {

struct TokenRows {
  torch::Tensor ids;     // [n, T] int64
  torch::Tensor length;  // [n] int64: ids up to the end token
};

struct TextGrouping {
  int64_t max_rows = 4096;  // of a group
  bool cut = true;          // false: padding and all, for towers that read it
};

struct TextGroups {
  std::vector<torch::Tensor> groups;  // [u, L] int64 each; all u sum to U
  std::vector<torch::Tensor> rows;    // [n] int64 per part: the row in [0, U) of each of its texts
  int64_t size() const;               // U
};

// The distinct texts of all `parts` together, which may have widths of their own. They lie in order
// of their length rounded up to a power of two, then of appearance.
TextGroups group_texts(const std::vector<TokenRows>& parts, const TextGrouping& grouping);

}  // namespace opencloc

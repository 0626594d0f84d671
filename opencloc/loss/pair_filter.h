// Which pairs (i, j), i != j, of a contrastive loss are no negatives (spec/cloc.md section 3).
#pragma once

#include <torch/torch.h>

namespace opencloc {

// Plain data, so that a backward pass can rebuild exactly the pairs its forward pass saw.
struct PairFilter {
  torch::Tensor text_id;  // [n] int64, equal = identical texts; undefined = nothing is filtered
  torch::Tensor texts;    // [n, E] L2-normalised, no gradient; undefined = no similarity test
  double threshold = 0.9;

  // bool [end - begin, n]: the excluded pairs of rows [begin, end). The diagonal is never excluded.
  // Undefined when nothing is filtered. Call only where no gradient is recorded.
  torch::Tensor excluded(int64_t begin, int64_t end) const;
};

struct PairCounts {
  double removed_share = 0;  // of the off-diagonal pairs of the rows counted
  double similar_share = 0;  // of those with distinct texts: cosine above the threshold
};

// Over rows [begin, end), `chunk` at a time. `filter.texts` must be set (it is measured even while
// the test is closed); `similarity_test` says whether it also removes.
struct PairCountOptions {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t chunk = 1024;
  bool similarity_test = false;
};
PairCounts count_pairs(const PairFilter& filter, const PairCountOptions& options);

}  // namespace opencloc

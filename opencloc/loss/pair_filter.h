// Which pairs (i, j), i != j, of a contrastive loss are no negatives (spec/cloc.md section 3).
#pragma once

#include <unordered_map>

#include <torch/types.h>

namespace opencloc {

struct ExcludedPairs {
  torch::Tensor pairs;  // bool [end - begin, n]; never the diagonal; undefined: nothing is filtered
  torch::Tensor similar;  // scalar F64: pairs of distinct texts with a cosine above the threshold
};

// Of the rows of the group. Plain data, so that a backward pass can rebuild exactly the pairs its
// forward pass saw.
struct PairFilter {
  torch::Tensor text_id;  // [n] int64, equal = identical texts; undefined = nothing is filtered
  torch::Tensor texts;    // [n, E] L2-normalised, no gradient; undefined = no similarity test
  double threshold = 0.9;

  // Of rows [begin, end). Call only where no gradient is recorded.
  ExcludedPairs excluded(int64_t begin, int64_t end) const;
};

// The same texts by small numbers.
struct DenseIds {
  torch::Tensor ids;     // [n] int32: equal where text_id is
  torch::Tensor counts;  // [ids] int64: how often each occurs
};
DenseIds dense_ids(const torch::Tensor& text_id);

// What texts are equal, counted in main memory: text_id [n] int64 there.
class TextCounts {
 public:
  explicit TextCounts(const torch::Tensor& text_id);
  // Pairs (i, j), i != j, i in [begin, end), of identical texts.
  int64_t identical_pairs(int64_t begin, int64_t end) const;
  // Pairs (i, j) of distinct texts, i every `step`th of [begin, end).
  int64_t distinct_pairs(int64_t begin, int64_t end, int64_t step) const;

 private:
  torch::Tensor text_id_;
  std::unordered_map<int64_t, int64_t> counts_;
};

// Pairs of distinct texts, and those of them with a cosine above the threshold, in rows
// [begin, end); `filter.texts` must be set, `counts` is of filter.text_id. Of n > kMeasuredRows
// texts so many are looked at, spread evenly over all n: however the rows are shared among
// processes, they measure the same ones.
inline constexpr int64_t kMeasuredRows = 2048;
struct SimilarPairs {
  torch::Tensor similar;  // scalar F64 where the texts lie
  int64_t distinct = 0;
};
SimilarPairs similar_pairs(const PairFilter& filter, const TextCounts& counts, int64_t begin,
                           int64_t end);

}  // namespace opencloc

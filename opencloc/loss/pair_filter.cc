#include "opencloc/loss/pair_filter.h"

#include <torch/utils.h>

#include "opencloc/ops/product.h"

namespace opencloc {

namespace {

// bool [rows, n]
torch::Tensor identical(const torch::Tensor& rows, const torch::Tensor& all) {
  return rows.unsqueeze(1) == all.unsqueeze(0);
}

}  // namespace

ExcludedPairs PairFilter::excluded(int64_t begin, int64_t end) const {
  if (!text_id.defined()) return {};
  ExcludedPairs result{.pairs = identical(text_id.slice(0, begin, end), text_id)};
  if (texts.defined()) {
    auto similar = ops::product_nt(texts.slice(0, begin, end), texts) > threshold;
    similar.logical_and_(result.pairs.logical_not());
    result.similar = similar.sum().item<int64_t>();
    result.pairs.logical_or_(similar);
  }
  result.pairs.diagonal(begin).fill_(false);
  return result;
}

DenseIds dense_ids(const torch::Tensor& text_id) {
  const auto [unique, ids, counts] = at::_unique2(text_id, /*sorted=*/true, /*return_inverse=*/true,
                                                  /*return_counts=*/true);
  return {.ids = ids.to(torch::kInt), .counts = counts};
}

int64_t identical_pairs(const torch::Tensor& text_id, int64_t begin, int64_t end) {
  if (begin >= end) return 0;
  const auto dense = dense_ids(text_id);
  const auto local = dense.ids.slice(0, begin, end).to(torch::kLong);
  return (dense.counts.index_select(0, local) - 1).sum().item<int64_t>();
}

SimilarPairs similar_pairs(const PairFilter& filter, int64_t begin, int64_t end) {
  const torch::NoGradGuard no_grad;
  constexpr int64_t kElements = int64_t{1} << 22;  // of a strip
  const int64_t at_a_time =
      std::max<int64_t>(1, kElements / std::max<int64_t>(1, filter.texts.size(0)));
  const int64_t all = filter.texts.size(0);
  const int64_t step = std::max<int64_t>(1, (all + kMeasuredRows - 1) / kMeasuredRows);
  SimilarPairs pairs;
  for (int64_t i = (begin + step - 1) / step * step; i < end; i += step * at_a_time) {
    const auto every = [&](const torch::Tensor& t) {
      return t.slice(0, i, std::min(end, i + step * at_a_time), step);
    };
    const auto different = identical(every(filter.text_id), filter.text_id).logical_not_();
    const auto close = ops::product_nt(every(filter.texts), filter.texts) > filter.threshold;
    pairs.similar += close.logical_and(different).sum().item<int64_t>();
    pairs.distinct += different.sum().item<int64_t>();
  }
  return pairs;
}

}  // namespace opencloc

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
  ExcludedPairs result{.pairs = identical(text_id.slice(0, begin, end), text_id), .similar = {}};
  if (texts.defined()) {
    auto similar = ops::product_nt(texts.slice(0, begin, end), texts) > threshold;
    similar.logical_and_(result.pairs.logical_not());
    result.similar = similar.sum().to(torch::kDouble);
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

TextCounts::TextCounts(const torch::Tensor& text_id) : text_id_(text_id.contiguous()) {
  const auto* id = text_id_.data_ptr<int64_t>();
  for (int64_t i = 0; i < text_id_.numel(); ++i) ++counts_[id[i]];
}

int64_t TextCounts::identical_pairs(int64_t begin, int64_t end) const {
  const auto* id = text_id_.data_ptr<int64_t>();
  int64_t pairs = 0;
  for (int64_t i = begin; i < end; ++i) pairs += counts_.at(id[i]) - 1;
  return pairs;
}

int64_t TextCounts::distinct_pairs(int64_t begin, int64_t end, int64_t step) const {
  const auto* id = text_id_.data_ptr<int64_t>();
  int64_t pairs = 0;
  for (int64_t i = begin; i < end; i += step) pairs += text_id_.numel() - counts_.at(id[i]);
  return pairs;
}

SimilarPairs similar_pairs(const PairFilter& filter, const TextCounts& counts, int64_t begin,
                           int64_t end) {
  const torch::NoGradGuard no_grad;
  constexpr int64_t kElements = int64_t{1} << 22;  // of a strip
  const int64_t at_a_time =
      std::max<int64_t>(1, kElements / std::max<int64_t>(1, filter.texts.size(0)));
  const int64_t all = filter.texts.size(0);
  const int64_t step = std::max<int64_t>(1, (all + kMeasuredRows - 1) / kMeasuredRows);
  const int64_t first = (begin + step - 1) / step * step;
  SimilarPairs pairs{torch::zeros({}, filter.texts.options().dtype(torch::kDouble)),
                     counts.distinct_pairs(first, end, step)};
  for (int64_t i = first; i < end; i += step * at_a_time) {
    const auto every = [&](const torch::Tensor& t) {
      return t.slice(0, i, std::min(end, i + step * at_a_time), step);
    };
    const auto different = identical(every(filter.text_id), filter.text_id).logical_not_();
    const auto close = ops::product_nt(every(filter.texts), filter.texts) > filter.threshold;
    pairs.similar += close.logical_and(different).sum();
  }
  return pairs;
}

}  // namespace opencloc

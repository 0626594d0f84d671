#include "opencloc/loss/pair_filter.h"

#include "opencloc/ops/product.h"

namespace opencloc {

namespace {

// bool [end - begin, n]: true on the diagonal of the full matrix.
torch::Tensor diagonal(int64_t begin, int64_t end, const torch::Tensor& text_id) {
  const auto columns = torch::arange(text_id.size(0), text_id.options());  // [n]
  return columns.slice(0, begin, end).unsqueeze(1) == columns.unsqueeze(0);
}

torch::Tensor identical(int64_t begin, int64_t end, const torch::Tensor& text_id) {
  return text_id.slice(0, begin, end).unsqueeze(1) == text_id.unsqueeze(0);
}

torch::Tensor similar(int64_t begin, int64_t end, const PairFilter& filter) {
  return ops::product_nt(filter.texts.slice(0, begin, end), filter.texts) > filter.threshold;
}

}  // namespace

torch::Tensor PairFilter::excluded(int64_t begin, int64_t end) const {
  if (!text_id.defined()) return {};
  auto pairs = identical(begin, end, text_id);
  if (texts.defined()) pairs.logical_or_(similar(begin, end, *this));
  return pairs.logical_and_(diagonal(begin, end, text_id).logical_not_());
}

PairCounts count_pairs(const PairFilter& filter, const PairCountOptions& options) {
  const torch::NoGradGuard no_grad;
  const int64_t n = filter.text_id.size(0);
  auto same = torch::zeros({}, filter.text_id.options());   // identical pairs, diagonal included
  auto close = torch::zeros({}, filter.text_id.options());  // distinct pairs above the threshold
  for (int64_t begin = options.begin; begin < options.end; begin += options.chunk) {
    const int64_t end = std::min(begin + options.chunk, options.end);
    const auto equal = identical(begin, end, filter.text_id);
    same += equal.sum();
    close += similar(begin, end, filter).logical_and_(equal.logical_not()).sum();
  }
  const int64_t rows = std::max<int64_t>(options.end - options.begin, 0);
  const auto off_diagonal = static_cast<double>(rows * (n - 1));
  const auto identical_pairs = static_cast<double>(same.item<int64_t>() - rows);
  const auto similar_pairs = static_cast<double>(close.item<int64_t>());
  const double distinct = off_diagonal - identical_pairs;
  const double removed = identical_pairs + (options.similarity_test ? similar_pairs : 0);
  return {.removed_share = off_diagonal > 0 ? removed / off_diagonal : 0,
          .similar_share = distinct > 0 ? similar_pairs / distinct : 0};
}

}  // namespace opencloc

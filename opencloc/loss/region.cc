#include "opencloc/loss/info_nce.h"
#include "opencloc/loss/loss.h"
#include "opencloc/loss/pair_filter.h"

namespace opencloc {

RegionLoss region_loss(const torch::Tensor& regions, const torch::Tensor& texts,
                       const torch::Tensor& text_id, const torch::Tensor& logit_scale,
                       const TextFilter& filter, const ContrastiveOptions& options) {
  TORCH_CHECK(text_id.dim() == 1 && text_id.size(0) == regions.size(0),
              "region loss: one text_id a region expected");
  const auto all_ids = options.group->gather(text_id);
  const auto all_texts = options.group->gather(texts).rows;  // [N, E], without gradient
  PairFilter pairs{.text_id = all_ids.rows, .texts = all_texts, .threshold = filter.threshold};
  const int64_t count = pairs.text_id.size(0);
  const int64_t begin = all_ids.first, end = begin + regions.size(0);
  const auto off_diagonal = static_cast<double>((end - begin) * (count - 1));
  const auto identical = static_cast<double>(identical_pairs(pairs.text_id, begin, end));
  const double distinct = off_diagonal - identical;
  const auto measured = filter.similarity_test ? SimilarPairs{} : similar_pairs(pairs, begin, end);
  if (!filter.similarity_test) pairs.texts = torch::Tensor();

  const auto [loss, removed_pairs] =
      symmetric_info_nce(regions, texts, logit_scale, pairs, options, all_texts);
  const auto removed = static_cast<double>(removed_pairs);  // 0 while the test is closed
  const auto share = [](double part, double whole) { return whole > 0 ? part / whole : 0; };
  const auto similar = filter.similarity_test ? removed : static_cast<double>(measured.similar);
  const auto among = filter.similarity_test ? distinct : static_cast<double>(measured.distinct);
  return {.loss = loss,
          .removed_share = share(identical + removed, off_diagonal),
          .similar_share = share(similar, among),
          .pairs = off_diagonal,
          .distinct_pairs = among};
}

double region_weight(int64_t images_with_regions, int64_t batch_size) {
  return batch_size > 0 ? static_cast<double>(images_with_regions) / static_cast<double>(batch_size)
                        : 0;
}

}  // namespace opencloc

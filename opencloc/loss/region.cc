#include "opencloc/loss/info_nce.h"
#include "opencloc/loss/loss.h"
#include "opencloc/loss/pair_filter.h"
#include "opencloc/ops/transfer.h"

namespace opencloc {

RegionLoss region_loss(const torch::Tensor& regions, const torch::Tensor& texts,
                       const torch::Tensor& text_id, const torch::Tensor& logit_scale,
                       const TextFilter& filter, const ContrastiveOptions& options) {
  TORCH_CHECK(text_id.dim() == 1 && text_id.size(0) == regions.size(0),
              "region loss: one text_id a region expected");
  const auto all_ids = options.group->gather(text_id.to(torch::kCPU));
  const TextCounts counts(all_ids.rows);
  const auto all_texts = options.group->gather(texts).rows;  // [N, E], without gradient
  PairFilter pairs{.text_id = ops::to_device(all_ids.rows, regions.device()),
                   .texts = all_texts,
                   .threshold = filter.threshold};
  const int64_t count = all_ids.rows.size(0);
  const int64_t begin = all_ids.first, end = begin + regions.size(0);
  const auto off_diagonal = static_cast<double>((end - begin) * (count - 1));
  const auto identical = static_cast<double>(counts.identical_pairs(begin, end));
  const auto distinct = off_diagonal - identical;
  TORCH_CHECK(filter.identical || !filter.similarity_test, "region loss: half a text filter");
  SimilarPairs measured;
  if (!filter.similarity_test) {
    measured = similar_pairs(pairs, counts, begin, end);
    pairs.texts = torch::Tensor();
  }
  if (!filter.identical) pairs.text_id = torch::Tensor();

  ContrastiveOptions contrastive = options;
  if (options.weight.defined()) contrastive.weight = over_mean(options.weight, *options.group);
  const auto nce = symmetric_info_nce(regions, texts, logit_scale, pairs, contrastive, all_texts);
  const auto& removed = nce.similar_pairs;  // 0 while the test is closed
  const auto share = [&](const torch::Tensor& part, double whole) {
    return whole > 0 ? part / whole : torch::zeros_like(removed);
  };
  const auto& similar = filter.similarity_test ? removed : measured.similar;
  const auto among = filter.similarity_test ? distinct : static_cast<double>(measured.distinct);
  return {.loss = nce.loss,
          .removed_share = share(removed + (filter.identical ? identical : 0), off_diagonal),
          .similar_share = share(similar, among),
          .pairs = off_diagonal,
          .distinct_pairs = among};
}

double region_weight(int64_t images_with_regions, int64_t batch_size) {
  return batch_size > 0 ? static_cast<double>(images_with_regions) / static_cast<double>(batch_size)
                        : 0;
}

}  // namespace opencloc

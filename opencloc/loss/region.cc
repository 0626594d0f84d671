#include "opencloc/loss/info_nce.h"
#include "opencloc/loss/loss.h"
#include "opencloc/loss/pair_filter.h"

namespace opencloc {

RegionLoss region_loss(const torch::Tensor& regions, const torch::Tensor& texts,
                       const torch::Tensor& text_id, const torch::Tensor& logit_scale,
                       const TextFilter& filter, const ContrastiveOptions& options) {
  TORCH_CHECK(text_id.dim() == 1 && text_id.size(0) == regions.size(0),
              "region loss: one text_id a region expected");
  PairFilter pairs{
      .text_id = text_id, .texts = texts.detach(), .threshold = filter.threshold};  // [R], [R, E]
  const auto local = local_rows(options, regions.size(0));
  const auto counts = count_pairs(pairs, {.begin = local.begin,
                                          .end = local.end,
                                          .chunk = options.chunk,
                                          .similarity_test = filter.similarity_test});
  if (!filter.similarity_test) pairs.texts = torch::Tensor();
  return {.loss = symmetric_info_nce(regions, texts, logit_scale, pairs, options),
          .removed_share = counts.removed_share,
          .similar_share = counts.similar_share};
}

double region_weight(int64_t images_with_regions, int64_t batch_size) {
  return batch_size > 0 ? static_cast<double>(images_with_regions) / static_cast<double>(batch_size)
                        : 0;
}

}  // namespace opencloc

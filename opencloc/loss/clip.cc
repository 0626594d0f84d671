#include "opencloc/loss/info_nce.h"
#include "opencloc/loss/loss.h"
#include "opencloc/ops/transfer.h"

namespace opencloc {

torch::Tensor clip_loss(const torch::Tensor& image, const torch::Tensor& text,
                        const torch::Tensor& logit_scale, const ContrastiveOptions& options) {
  PairFilter pairs;
  if (options.text_id.defined()) {
    TORCH_CHECK(options.text_id.dim() == 1 && options.text_id.size(0) == image.size(0),
                "clip loss: one text_id a pair expected");
    pairs.text_id = ops::to_device(options.group->gather(options.text_id).rows, image.device());
  }
  return symmetric_info_nce(image, text, logit_scale, pairs, options).loss;
}

}  // namespace opencloc

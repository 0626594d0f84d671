#include "opencloc/loss/info_nce.h"
#include "opencloc/loss/loss.h"

namespace opencloc {

torch::Tensor clip_loss(const torch::Tensor& image, const torch::Tensor& text,
                        const torch::Tensor& logit_scale, const ContrastiveOptions& options) {
  return symmetric_info_nce(image, text, logit_scale, {}, options).loss;
}

}  // namespace opencloc

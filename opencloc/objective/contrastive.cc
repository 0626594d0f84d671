#include "opencloc/objective/contrastive.h"

namespace opencloc {

torch::Tensor contrastive_loss(const Cloc& model, const torch::Tensor& images,
                               const torch::Tensor& texts, const ContrastiveOptions& options) {
  const auto image = normalized(images), text = normalized(texts);  // [B, E]
  return model->logit_bias.defined()
             ? sigmoid_loss(image, text, model->logit_scale, model->logit_bias, options)
             : clip_loss(image, text, model->logit_scale, options);
}

Json temperatures(const Cloc& model) {
  return {{"logit_scale", model->logit_scale.exp().item<double>()}};
}

}  // namespace opencloc

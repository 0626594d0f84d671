#include "opencloc/objective/contrastive.h"

namespace opencloc {

torch::Tensor contrastive_loss(const Cloc& model, const torch::Tensor& images,
                               const torch::Tensor& texts, const torch::Tensor& text_id,
                               const ObjectiveOptions& options) {
  const auto image = normalized(images), text = normalized(texts);  // [B, E]
  ContrastiveOptions contrastive = options.contrastive;
  if (options.mask_equal_texts) {
    TORCH_CHECK(text_id.defined(), "equal texts are to be known, and the batch has no text_id");
    contrastive.text_id = text_id;
  }
  return model->logit_bias.defined()
             ? sigmoid_loss(image, text, model->logit_scale, model->logit_bias, contrastive)
             : clip_loss(image, text, model->logit_scale, contrastive);
}

Json temperatures(const Cloc& model) {
  return {{"logit_scale", model->logit_scale.exp().item<double>()}};
}

}  // namespace opencloc

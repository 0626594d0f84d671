// L_CLIP as a model has it.
#pragma once

#include <torch/types.h>

#include "opencloc/base/json.h"
#include "opencloc/loss/loss.h"
#include "opencloc/model/cloc/cloc.h"

namespace opencloc {

// Of pairs [B, E], not normalised: InfoNCE, or the sigmoid loss of models with a logit_bias
// (SigLIP). -> scalar.
torch::Tensor contrastive_loss(const Cloc& model, const torch::Tensor& images,
                               const torch::Tensor& texts, const ContrastiveOptions& options);

// {"logit_scale": the inverse temperature}
Json temperatures(const Cloc& model);

}  // namespace opencloc

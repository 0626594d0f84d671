// L_CLIP as a model has it.
#pragma once

#include <torch/types.h>

#include "opencloc/base/json.h"
#include "opencloc/model/cloc/cloc.h"
#include "opencloc/objective/objective.h"

namespace opencloc {

// Of pairs [B, E], not normalised: InfoNCE, or the sigmoid loss of models with a logit_bias
// (SigLIP). With mask_equal_texts `text_id` [B] int64, in main memory, says which texts are equal.
// -> scalar.
torch::Tensor contrastive_loss(const Cloc& model, const torch::Tensor& images,
                               const torch::Tensor& texts, const torch::Tensor& text_id,
                               const ObjectiveOptions& options);

// {"logit_scale": the inverse temperature}
Json temperatures(const Cloc& model);

}  // namespace opencloc

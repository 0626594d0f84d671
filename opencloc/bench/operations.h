// Operations (multiplications and additions of matrix products, attention included) of the parts of
// a model, for GFLOP/s. A backward pass counts as twice its forward pass.
#pragma once

#include "opencloc/model/config/config.h"

namespace opencloc::bench {

// One image through the image tower.
double image_operations(const ModelConfig& config);
// One text of `length` ids through the text tower.
double text_operations(const ModelConfig& config, int64_t length);
// The Prompter: what is computed once an image, and what each prompt adds. With pool `all` that is
// the prompt's own columns of the attention and the MLP's first product over all tokens.
double prompt_image_operations(const ModelConfig& config);
double box_prompt_operations(const ModelConfig& config);
double text_prompt_operations(const ModelConfig& config);

}  // namespace opencloc::bench

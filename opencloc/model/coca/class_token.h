// The class token of CoCa's text tower, which stands behind the words and pools them: it looks at
// the words of its own text only, wherever the causal mask would let it look.
#pragma once

#include <torch/types.h>

#include "opencloc/model/layers/transformer.h"

namespace opencloc {

// The tower's blocks, causal but for the last place. x [B, T, D], seen [B, T] bool: what the last
// place looks at -> [B, T, D]
torch::Tensor blocks_with_class_token(Transformer& transformer, torch::Tensor x,
                                      const torch::Tensor& seen);

}  // namespace opencloc

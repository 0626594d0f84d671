// A big batch in parts, with all its negatives: cached embeddings (Gao et al., "Scaling Deep
// Contrastive Learning Batch Size under Memory Limited Setup", 2021). Gradient accumulation over
// smaller batches would be another loss, with fewer negatives.
#pragma once

#include "opencloc/train/step.h"

namespace opencloc {

// 1. All parts forward without a graph. 2. The loss and its gradient by the embeddings. 3. Each
// part forward again, with a graph, and its share of that gradient backward. The parameters' grad
// equals the whole batch's up to rounding. Memory: activations of ceil(B / accum_freq) images.
// Tensors are on the model's device.
StepStats cached_forward_backward(Cloc& model, const Batch& batch, const TextBatch& texts,
                                  const StepOptions& options);

}  // namespace opencloc

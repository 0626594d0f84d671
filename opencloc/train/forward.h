// The forward pass of a training step: everything the losses look at, for a batch or a part of it.
#pragma once

#include <torch/types.h>

#include "opencloc/data/batch.h"
#include "opencloc/model/cloc.h"
#include "opencloc/train/texts.h"

namespace opencloc {

enum class Objective { kClip, kCloc, kCoca };
const char* to_string(Objective objective);  // "clip", ...

struct ForwardOptions {
  Objective objective = Objective::kCloc;
  // L_CLIP. Without it captions are not encoded: both towers are frozen, and it has nothing to
  // train.
  bool clip = true;
  bool grounding = true;
  // The BoxHead must also read a region's own box back from its embedding. Without it nothing in
  // the embedding speaks of places at first, and text prompts have nothing to learn to point at
  // (docs/decisions/box_recovery.md).
  bool box_recovery = true;

  bool regions() const { return objective == Objective::kCloc; }
  bool captions() const { return objective == Objective::kCoca; }
};

// None is L2-normalised. Undefined where the options leave a part out or there are no regions.
struct ImageOutputs {
  torch::Tensor image;      // [B, E]
  torch::Tensor regions;    // [R, E] of the batch's boxes (or points, masks)
  torch::Tensor predicted;  // [R, 4] boxes found from the region texts
  torch::Tensor recovered;  // [R, 4] boxes read back from the region embeddings
};

// Images, their regions and the grounding of their region texts.
// region_texts [R, E], not normalised: the embedding of each region's text.
ImageOutputs encode_images(Cloc& model, const Batch& batch, const torch::Tensor& region_texts,
                           const ForwardOptions& options);

// -> [U, E], not normalised.
torch::Tensor encode_texts(Cloc& model, const TextBatch& texts);

// Images [begin, end) of a batch with their regions, and those regions' rows in the whole batch.
struct BatchPart {
  Batch batch;
  int64_t first_region = 0;
  int64_t end_region = 0;
};
BatchPart batch_part(const Batch& batch, int64_t begin, int64_t end);

// The tensors a step needs, on `device`.
Batch to_device(const Batch& batch, torch::Device device);

}  // namespace opencloc

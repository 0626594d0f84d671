// Frozen towers, whole or but for their last layers, as open_clip's --lock-image and --lock-text do
// (Zhai et al., "LiT", 2022). A frozen parameter requires no gradient: autograd records nothing in
// front of the first one that does, and it gets neither gradient nor optimizer state.
#pragma once

#include <cstdint>
#include <string_view>

#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/model/cloc/cloc.h"

namespace opencloc {

struct LockOptions {
  bool image = false;
  bool text = false;
  // Groups at a tower's end that stay trainable: 1 is the projection, 2 also the last block with
  // the norm behind it, then a block each, and the embeddings last.
  int64_t image_unlocked_groups = 0;
  int64_t text_unlocked_groups = 0;

  // Neither tower learns anything: L_CLIP has nothing to train.
  bool both_whole() const {
    return image && text && image_unlocked_groups == 0 && text_unlocked_groups == 0;
  }
};

// The group of a parameter (by its name on disk) in its tower of `layers` blocks: 0 the embeddings
// (and the norm before the blocks), i + 1 block i (the last one with the norm behind it), layers +
// 1 the projection and a pooling head.
int64_t layer_group(std::string_view name, int64_t layers);

// Freezes what `options` say; a captioner's decoder always learns. The temperature (and the sigmoid
// loss's bias) learns as long as one of the towers does; with both_whole() the CLIP stays as it
// was, to the last bit.
void lock_towers(Cloc& model, const LockOptions& options);

// Freezes all that M3AE does not train: the text tower, the temperature, and the image tower's
// projection.
void lock_all_but_encoder(Cloc& model);

// The parameters that are not frozen.
NamedTensors trainable(const NamedTensors& parameters);

}  // namespace opencloc

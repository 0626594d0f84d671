// M3AE (Geng et al., 2022): one encoder sees a quarter of the patches and of the words, and a
// decoder restores the rest of both. L = mae_weight L_image + mlm_weight L_text:
//   L_image  squared error of the hidden patches, mean of a picture, mean over pictures
//   L_text   cross-entropy of the hidden words, mean of a text, mean over the pictures with one
// It trains the image tower (but its projection) and what lies beside the model
// (SelfSupervisionHeads: joint_encoder, masked_decoder); the text tower takes no part.
//
// Where it is not the published code: places of patches are the tower's, which are learned, and
// those of words are learned, too; a text's end is always seen and one word always hidden; padding
// is left out of the encoder, and the decoder reads it as a vector of its own.
#pragma once

#include "opencloc/objective/self_supervision.h"

namespace opencloc {

// What the decoder says of all patches of a batch's pictures: [B, N, 3 P P] F32, without a graph,
// on the model's device. The batch has patch_order and, where words are restored, word_order.
torch::Tensor m3ae_patches(const Cloc& model, const SelfSupervisionHeads& heads,
                           const SelfSupervisionOptions& options, const Batch& batch);

}  // namespace opencloc

// The step of a captioner, CoCa (Yu et al., 2022, section 3.1):
//   L = contrastive_weight L_CLIP + caption_weight L_caption,
// L_caption the cross-entropy of each next word of a caption given its picture.
#pragma once

#include "opencloc/train/step.h"

namespace opencloc {

// As forward_backward(). The model has a text decoder. Texts begin with a start token, end with an
// end token and are padded with kPadId. With accum_freq above 1 the batch goes through in parts:
// the embeddings' gradients as in accumulate.h, the captions', which need no other picture,
// directly.
StepStats captioning_forward_backward(Cloc& model, const Batch& batch, const StepOptions& options);

}  // namespace opencloc

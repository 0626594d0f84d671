// An image tower without its text tower: what LLaVA and llama.cpp keep of a CLIP. It is a model
// whose text tower is a placeholder, and whose image embedding, where the file has no projection,
// is the pooled class token itself (transformers' pooler_output).
#pragma once

#include "opencloc/checkpoint/layout/weights.h"
#include "opencloc/model/cloc/cloc.h"

namespace opencloc {

// The placeholder: as small as a text tower can be.
TextConfig placeholder_text();

// The image tower's parameters, `proj` only when `with_projection`.
struct VisionParts {
  bool with_projection = false;
};
NamedTensors vision_weights(const Cloc& model, const VisionParts& parts);

// Makes the projection the identity. The model's embed_dim is its width.
void project_plainly(Cloc& model);

}  // namespace opencloc

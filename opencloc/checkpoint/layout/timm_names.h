// What open_clip calls the parameters of an image tower that timm builds (`visual.trunk.*`).
#pragma once

#include <string>

#include "opencloc/checkpoint/file/stored_tensors.h"
#include "opencloc/checkpoint/layout/weights.h"

namespace opencloc::timm_names {

// A tensor that every such file has, whatever wraps it.
inline constexpr const char* kAnchor = "visual.trunk.patch_embed.proj.weight";
bool found(const StoredTensors& weights);

// `others` names what is no part of the image tower.
Naming naming(Naming others);

}  // namespace opencloc::timm_names

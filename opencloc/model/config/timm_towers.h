// Image towers that open_clip names and timm builds: Meta's Perception Encoder (Bolya et al.,
// "Perception Encoder", 2025), which open_clip calls PE-Core; SigLIP and SigLIP 2; and the ViT-L/14
// of MobileCLIP2 (Faghri et al., 2025).
#pragma once

#include <string>

#include "opencloc/model/config/config.h"

namespace opencloc {

struct TimmTower {
  std::string name;        // vision_cfg.timm_model_name
  std::string pool;        // timm_pool
  std::string projection;  // timm_proj; empty: null, which is timm's own layer, with a bias
  VisionConfig vision;     // all that the name says
};

// Null for other names.
const TimmTower* timm_tower(const std::string& name);
// The one that is this tower in every part; null where there is none. open_clip builds it from its
// name.
const TimmTower* timm_tower(const VisionConfig& vision);
// "vit_pe_core_base_patch16_224, ..."
std::string known_timm_towers();

}  // namespace opencloc

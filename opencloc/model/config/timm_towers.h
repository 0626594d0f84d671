// Image towers that open_clip names and timm builds: Meta's Perception Encoder (Bolya et al.,
// "Perception Encoder", 2025), which open_clip calls PE-Core.
#pragma once

#include <optional>
#include <string>

#include "opencloc/model/config/config.h"

namespace opencloc {

// vision_cfg.timm_model_name -> the tower; none for other names.
std::optional<VisionConfig> timm_tower(const std::string& name);
// "vit_pe_core_base_patch16_224", ..., by comma.
std::string known_timm_towers();
// The name of the tower, where it is one of these in every part; empty otherwise. open_clip builds
// it from that name only.
std::string timm_name(const VisionConfig& vision);

}  // namespace opencloc

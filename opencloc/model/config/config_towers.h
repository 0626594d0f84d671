// The vision_cfg, text_cfg and multimodal_cfg parts of a model's configuration. Private to
// config.cc.
#pragma once

#include <string>

#include "opencloc/model/config/config.h"

namespace opencloc {

// open_clip's keys, and of our own what open_clip has no name for: vision_cfg.class_token,
// patch_bias, proj_type "none" and pool_type "map". Unknown keys are Errors (input).
VisionConfig vision_from_json(const Json& json, const std::string& where);
TextConfig text_from_json(const Json& json, const std::string& where);
MultimodalConfig multimodal_from_json(const Json& json, const std::string& where);
// Keys whose value is open_clip's default are left out.
Json vision_json(const VisionConfig& config);
Json text_json(const TextConfig& config);
Json multimodal_json(const MultimodalConfig& config, const TextConfig& text);

}  // namespace opencloc

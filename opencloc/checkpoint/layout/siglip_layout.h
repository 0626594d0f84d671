// transformers' SiglipModel (SigLIP, and SigLIP 2 at a fixed resolution), which lies in the same
// files as a CLIPModel: hf_layout hands over to this one by config.json's model_type "siglip".
#pragma once

#include <string_view>

#include "opencloc/checkpoint/layout/weights.h"
#include "opencloc/model/config/config.h"

namespace opencloc::siglip_layout {

bool is_siglip(const Json& config_json);
// Does transformers' SiglipModel describe this model?
bool fits(const ModelConfig& config);

// config.json, with transformers' defaults where keys are missing. Error (input) for what
// SiglipModel has and our towers have not (vision_use_head false).
ModelConfig model_config(const Json& json, std::string_view where);
Json config_json(const ModelConfig& config);
// preprocessor_config.json of a SiglipImageProcessor; `clip_json` is hf_preprocessor_json's.
Json preprocessor_json(const ModelConfig& config, Json clip_json);

StoredAs naming(const std::string& parameter);
// As stored_weights(); logit_scale and logit_bias are [1] in SiglipModel.
NamedTensors stored(const NamedTensors& parameters);

}  // namespace opencloc::siglip_layout

// transformers' description of a CLIP model and of its preprocessing, to ours and back.
// transformers' files carry many keys that mean nothing to the model, so unknown ones are passed
// over; those that would change it must have the value our towers implement, or are Errors (input).
#pragma once

#include <cstdint>
#include <string_view>

#include "opencloc/model/config/config.h"

namespace opencloc {

// config.json of a CLIPModel. Keys that are missing have transformers' defaults.
ModelConfig hf_model_config(const Json& json, std::string_view where);
// preprocessor_config.json of a CLIPImageProcessor.
PreprocessConfig hf_preprocess_config(const Json& json, int64_t image_size, std::string_view where);

// Throws Error (input) for a model that ends its texts with id 2, which transformers reads as
// "pool at the highest id".
Json hf_config_json(const ModelConfig& config);
// CanvasRule::kLongest has no name in transformers: it is written as a key of our own, which
// transformers ignores (it will cut the picture instead of padding it).
Json hf_preprocessor_json(const ModelConfig& config);

}  // namespace opencloc

// Hugging Face transformers' CLIPModel and SiglipModel (siglip_layout.h): config.json +
// model.safetensors + preprocessor_config.json.
#pragma once

#include <filesystem>
#include <string>

#include "opencloc/checkpoint/weights.h"
#include "opencloc/model/cloc.h"

namespace opencloc::hf_layout {

// The directory has a config.json of a CLIP or SigLIP model.
bool found(const std::filesystem::path& directory);
ModelConfig read_config(const std::filesystem::path& directory);
// Fills the towers. Throws Error (input) as load_model() does.
void load_towers(const std::filesystem::path& directory, Cloc& model);
// Configuration, preprocessing and towers. Throws Error (input) for a model transformers cannot
// describe (see hf_config.h).
void write(const std::filesystem::path& directory, const Cloc& model);
// CLIPModel's name of a parameter (by its open_clip name).
StoredAs naming(const std::string& parameter);

}  // namespace opencloc::hf_layout

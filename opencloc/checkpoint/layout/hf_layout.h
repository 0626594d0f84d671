// Hugging Face transformers' CLIPModel, its CLIPVisionModel alone (what LLaVA loads), and
// SiglipModel (siglip_layout.h): config.json + model.safetensors + preprocessor_config.json.
// Weights are also read from shards and from pytorch_model.bin; names with and without transformers
// 4's "vision_model." prefix.
#pragma once

#include <filesystem>
#include <string>

#include "opencloc/checkpoint/layout/layout.h"
#include "opencloc/checkpoint/layout/weights.h"
#include "opencloc/model/cloc/cloc.h"

namespace opencloc::hf_layout {

// The directory has a config.json of a CLIP model, of a CLIP vision model or of a SigLIP model.
bool found(const std::filesystem::path& directory);
// The file of weights the layout reads; empty when there is none.
std::filesystem::path weights_in(const std::filesystem::path& directory);
Sources sources(const std::filesystem::path& directory);
ModelConfig read_config(const std::filesystem::path& directory);
// Fills the towers (a vision model's image tower). Throws Error (input) as load_model() does.
void load_towers(const std::filesystem::path& directory, Cloc& model);
// Configuration, preprocessing and towers, under transformers 4's names, which 5 reads too. Throws
// Error (input) for a model transformers cannot describe (see hf_config.h).
void write(const std::filesystem::path& directory, const Cloc& model, const TowerOptions& options);
// CLIPModel's name of a parameter (by its open_clip name).
StoredAs naming(const std::string& parameter);

}  // namespace opencloc::hf_layout

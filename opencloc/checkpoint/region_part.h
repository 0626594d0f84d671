// What CLOC adds to a CLIP model directory of any layout: cloc_config.json and
// cloc_heads.safetensors (prompter.*, box_head.*, roi_extractor.*, quality_head.*,
// region_logit_scale). Other programs read past both.
#pragma once

#include <filesystem>
#include <string>

#include "opencloc/checkpoint/model_directory.h"

namespace opencloc {

constexpr const char* kRegionHeadsFile = "cloc_heads.safetensors";

struct RegionPart {
  ClocConfig config;
  std::string name;  // of the architecture; may be empty
  Json about = Json::object();
  bool has_heads = false;
  bool quantized = false;  // the towers' weights are of 8 bits (model/quantized.h)
};

// Defaults where the directory has no cloc_config.json. Error (input) when it is not understood or
// promises heads that are not there.
RegionPart read_region_part(const std::filesystem::path& directory);
// Fills the model's region weights.
void load_region_heads(const std::filesystem::path& directory, Cloc& model);
void write_region_part(const std::filesystem::path& directory, const Cloc& model,
                       const SaveOptions& options);

}  // namespace opencloc

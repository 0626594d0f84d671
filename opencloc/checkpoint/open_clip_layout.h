// open_clip's layout, our native one: open_clip_config.json + open_clip_model.safetensors with the
// names of open_clip's CLIP.
#pragma once

#include <filesystem>

#include "opencloc/model/cloc.h"

namespace opencloc::open_clip_layout {

// The directory has this layout's configuration (its weights may still be missing).
bool found(const std::filesystem::path& directory);
ModelConfig read_config(const std::filesystem::path& directory);
// Fills the towers. Throws Error (input) as load_model() does.
void load_towers(const std::filesystem::path& directory, Cloc& model);
// Configuration and towers.
void write(const std::filesystem::path& directory, const Cloc& model);

}  // namespace opencloc::open_clip_layout

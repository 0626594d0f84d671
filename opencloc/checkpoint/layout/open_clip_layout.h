// open_clip's layout, our native one: open_clip_config.json + open_clip_model.safetensors with the
// names of open_clip's CLIP. Weights are also read from shards and from open_clip's older
// open_clip_pytorch_model.bin.
#pragma once

#include <filesystem>

#include "opencloc/checkpoint/layout/layout.h"
#include "opencloc/model/cloc/cloc.h"

namespace opencloc::open_clip_layout {

// The directory has this layout's configuration (its weights may still be missing).
bool found(const std::filesystem::path& directory);
// The file of weights the layout reads; empty when there is none.
std::filesystem::path weights_in(const std::filesystem::path& directory);
Sources sources(const std::filesystem::path& directory);
ModelConfig read_config(const std::filesystem::path& directory);
// Fills the towers. Throws Error (input) as load_model() does.
void load_towers(const std::filesystem::path& directory, Cloc& model);
// Configuration and towers.
void write(const std::filesystem::path& directory, const Cloc& model, const TowerOptions& options);

// Names of OpenAI's checkpoints and of buffers that are no parameters.
bool no_parameter(const std::string& name);

}  // namespace opencloc::open_clip_layout

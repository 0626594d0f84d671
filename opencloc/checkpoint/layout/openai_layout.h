// OpenAI's layout: one file of weights under open_clip's names and three numbers (input_resolution,
// context_length, vocab_size), from whose shapes the architecture follows. Written as safetensors;
// read from safetensors, state dicts and OpenAI's own TorchScript archives. Files of open_clip's
// without a configuration are read the same way.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "opencloc/checkpoint/file/stored_tensors.h"
#include "opencloc/checkpoint/layout/layout.h"
#include "opencloc/model/cloc/cloc.h"

namespace opencloc::openai_layout {

// A file of weights with open_clip's names, or a directory that holds one and no configuration.
// Throws Error (input) for a damaged file.
bool found(const std::filesystem::path& path);
// The files of weights in a directory, or the file itself; without those that hold something else
// (optimizers) where there are several.
std::vector<std::filesystem::path> candidates(const std::filesystem::path& path);
Sources sources(const std::filesystem::path& path, const ModelHints& hints);
// Throws Error (input) when nothing says how many heads the towers have.
ModelConfig read_config(const std::filesystem::path& path, const ModelHints& hints);
// Fills the towers. Throws Error (input) as load_model() does.
void load_towers(const std::filesystem::path& path, Cloc& model);
// `path`: the file, or the directory that gets a model.safetensors. Warns when OpenAI's own code
// would compute something else (it knows quick_gelu and 64 wide heads alone): the configuration
// goes into the file's metadata, where OpenCLOC finds it.
void write(const std::filesystem::path& path, const Cloc& model, const TowerOptions& options);

// What the shapes say, and what they cannot say as OpenAI's build_model and the named architectures
// have it: see docs/reference/model_directories.md. `assumed` gets a sentence for each thing taken
// for granted. Error (input) when they are no CLIP's with a vision transformer, and for widths
// whose heads nobody knows.
ModelConfig config_from_shapes(const StoredTensors& weights, const ModelHints& hints,
                               std::vector<std::string>& assumed);

}  // namespace opencloc::openai_layout

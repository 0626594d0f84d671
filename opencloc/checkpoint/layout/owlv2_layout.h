// Hugging Face transformers' Owlv2ForObjectDetection: config.json + model.safetensors +
// preprocessor_config.json (+ CLIP's tokenizer files).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "opencloc/model/owlv2/owlv2.h"
#include "opencloc/text/tokenizer.h"

namespace opencloc {

struct LoadedOwlv2 {
  Owlv2 model{nullptr};                        // F32, on the CPU, in eval mode
  std::shared_ptr<const Tokenizer> tokenizer;  // null when the directory has none
};

namespace owlv2_layout {

// The directory has a config.json of an OWLv2 model.
bool found(const std::filesystem::path& directory);
ModelConfig read_config(const std::filesystem::path& directory);

}  // namespace owlv2_layout

// `image_size` 0: the resolution it was trained at; else the position embedding is interpolated.
// Throws Error (input) for a directory that is no OWLv2, keys our towers do not implement, and
// weights that do not fit.
LoadedOwlv2 load_owlv2(const std::filesystem::path& directory, int64_t image_size = 0);

}  // namespace opencloc

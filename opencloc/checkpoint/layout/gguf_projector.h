// LLaVA's projector, which makes an image tower in GGUF a file for llama.cpp (mmproj).
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "opencloc/checkpoint/file/gguf.h"

namespace opencloc {

// Its two linear layers as mm.0.* and mm.2.*, from a file that names them as LLaVA
// (mm_projector.0), transformers (multi_modal_projector.linear_1) or GGUF do. `matrices`: how the
// weights are stored. Throws Error (input) when they are not there or do not take features of
// `width` values.
std::vector<GgufOutTensor> read_projector(const std::filesystem::path& path, int64_t width,
                                          GgufType matrices);

}  // namespace opencloc

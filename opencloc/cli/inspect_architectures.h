// The architectures built into the binary, for `opencloc inspect --architectures`.
#pragma once

#include <string>

#include "opencloc/base/json.h"
#include "opencloc/model/config/config.h"

namespace opencloc::cli {

// Values in the two towers and logit_scale: what open_clip counts.
int64_t clip_parameters(const ModelConfig& config);

// [{"name", "image_size", "patch_size", "width", "layers", "heads", "embed_dim", "text_width",
// "text_layers", "text_heads", "context_length", "vocab_size", "activation", "parameters"}, ...]
Json inspect_architectures();

// A table for people, without the last line end.
std::string describe_architectures(const Json& found);

}  // namespace opencloc::cli

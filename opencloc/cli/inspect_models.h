// What files of weights, model directories, checkpoints and runs hold, for `opencloc inspect`
// (inspect_paths.h).
#pragma once

#include <filesystem>
#include <string>

#include "opencloc/base/json.h"

namespace opencloc::cli {

// Of a path that is there and of which may_hold_tensors() is true. `architecture`: of weights that
// come without configuration, may be empty. Throws Error (input), as inspect_path() does.
// Thread-safe.
Json inspect_weights(const std::filesystem::path& path, const std::string& architecture);

}  // namespace opencloc::cli

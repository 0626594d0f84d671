// What `opencloc inspect FILE` says of a picture.
#pragma once

#include <filesystem>

#include "opencloc/base/json.h"

namespace opencloc {

// {"path", "ok", "format", "width", "height", "mode", "error"}; format, mode and error are "" and
// the sizes 0 where unknown. Never throws: a file that cannot be read is an answer too.
Json inspect_image_file(const std::filesystem::path& path);

}  // namespace opencloc

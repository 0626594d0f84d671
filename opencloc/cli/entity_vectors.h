// `data entities --vectors`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace opencloc::cli {

// The user's vectors as vectors.safetensors in `folder`, F16. Throws Error (input) where they are
// not one an entity.
void write_entity_vectors(const std::string& from, const std::filesystem::path& folder,
                          int64_t entities);

}  // namespace opencloc::cli

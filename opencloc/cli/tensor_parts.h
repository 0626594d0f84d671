// Verbs that need tensors only now and then, and the two programs (docs/decisions/thin_program.md):
// `opencloc`, which is thin and links no libtorch, and opencloc-tensors, which is whole. Each
// defines these functions in its own way.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "opencloc/base/json.h"

namespace opencloc::cli {

// What the thin program has not.
struct TensorParts {
  // What lies at a path that may hold weights (inspect_paths.h).
  Json (*inspect_weights)(const std::filesystem::path& path, const std::string& architecture);
  // The user's vectors of entities into a folder, once it is known that there is one an entity.
  void (*write_entity_vectors)(const std::string& from, const std::filesystem::path& folder,
                               int64_t entities);
};

// To be called before the first output or other effect: the thin program becomes the whole one
// here, which begins anew with the same arguments. Throws Error (failed) where the whole program is
// missing.
const TensorParts& tensor_parts();

// How many threads compute. Before the first operation and before other threads are made.
void use_threads(int threads);

}  // namespace opencloc::cli

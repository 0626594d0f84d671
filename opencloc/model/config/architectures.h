// The registry of named architectures: configs/models/*.json, embedded into the library at build
// time, so that the installed binary needs no files. Adding a file there adds a name.
#pragma once

#include <span>
#include <string_view>

namespace opencloc {

struct EmbeddedArchitecture {
  std::string_view name;  // the file's name without ".json", e.g. "ViT-B-16"
  std::string_view json;  // its text
};

// Sorted by name.
std::span<const EmbeddedArchitecture> embedded_architectures();

}  // namespace opencloc

// Changes a safetensors file in place.
#pragma once

#include <filesystem>
#include <functional>

#include "opencloc/checkpoint/file/safetensors.h"

namespace opencloc::fixtures {

inline void rewrite(const std::filesystem::path& path,
                    const std::function<void(NamedTensors&)>& change) {
  NamedTensors tensors;
  {
    const SafetensorsFile file(path);
    for (const auto& info : file.tensors())
      tensors.emplace_back(info.name, file.tensor(info).clone());
  }
  change(tensors);
  write_safetensors(path, tensors);
}

}  // namespace opencloc::fixtures

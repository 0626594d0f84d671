// Named tensors in a file (safetensors, https://huggingface.co/docs/safetensors).
// Goals: hostile or damaged files are Errors; loading copies nothing; a file that is written is
// whole, and the same tensors give the same bytes. Non-goals: partial updates.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <torch/types.h>

#include "opencloc/base/files.h"
#include "opencloc/checkpoint/file/safetensors_header.h"

namespace opencloc {

using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

// A file that is mapped into memory. Copies share the map. Thread-safe.
class SafetensorsFile {
 public:
  // Reads and checks the header. Throws Error (input).
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::string& path() const { return path_; }
  const std::vector<TensorInfo>& tensors() const { return header_.tensors; }  // in file order
  const TensorMetadata& metadata() const { return header_.metadata; }
  // Empty when the file has no such key.
  std::string metadata(std::string_view key) const;
  // Null when the file has no such tensor.
  const TensorInfo* find(const std::string& name) const;

  // READ-ONLY: the map itself, which lives as long as the tensor does (data that is not aligned to
  // its type is copied instead). Writing through it is a fault; clone() first.
  // Throws Error (input) when there is no such tensor.
  torch::Tensor tensor(const std::string& name) const;
  torch::Tensor tensor(const TensorInfo& info) const;

 private:
  std::string path_;
  std::shared_ptr<MappedFile> map_;
  uint64_t data_start_ = 0;
  SafetensorsHeader header_;
  std::unordered_map<std::string, size_t> index_;
};

// Writes all tensors (moved to the CPU, made contiguous) through an AtomicFile. They lie in the
// file widest type first, then by name, whatever the order given. Throws Error (failed) when the
// disk does, and Error (input) for a name given twice or a type safetensors lacks.
void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                       const TensorMetadata& metadata = {});

// The bytes of such a file.
std::string safetensors_bytes(const NamedTensors& tensors, const TensorMetadata& metadata = {});

torch::ScalarType scalar_type(TensorType type);

}  // namespace opencloc

// GGUF files: keys and tensors, read from the mapped file and written whole.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "opencloc/base/files.h"
#include "opencloc/checkpoint/file/gguf_header.h"
#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/checkpoint/file/stored_tensors.h"

namespace opencloc {

bool looks_like_gguf(std::span<const std::byte> start);

// A file that is mapped into memory. Thread-safe.
class GgufFile : public std::enable_shared_from_this<GgufFile> {
 public:
  // Reads and checks the header. Throws Error (input).
  explicit GgufFile(const std::filesystem::path& path);

  const std::string& path() const { return path_; }
  const GgufHeader& header() const { return header_; }
  // The tensors; Q8_0 is unpacked to F32 when it is read. The file must be held by a shared_ptr.
  StoredTensors stored() const;

 private:
  torch::Tensor tensor(const GgufTensor& info) const;

  std::string path_;
  MappedFile map_;
  GgufHeader header_;
};
std::shared_ptr<const GgufFile> open_gguf(const std::filesystem::path& path);

struct GgufOutTensor {
  std::string name;
  torch::Tensor values;
  GgufType type;  // what it is stored as; Q8_0 falls back to F16 where rows are no multiple of 32
};

// Writes through an AtomicFile, tensors in the order given.
void write_gguf(const std::filesystem::path& path,
                const std::vector<std::pair<std::string, GgufOut>>& keys,
                const std::vector<GgufOutTensor>& tensors);

// Q8_0 as ggml's reference: blocks of 32 values share the scale max|x| / 127, stored as F16.
// `values` F32, contiguous, a multiple of 32 -> their blocks' bytes.
std::string to_q8(const torch::Tensor& values);

}  // namespace opencloc

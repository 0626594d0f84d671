// Named tensors of one or several files, whatever their format: safetensors, safetensors in shards,
// PyTorch archives, GGUF. Nothing is read before it is asked for.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include <torch/types.h>

namespace opencloc {

struct StoredTensor {
  std::string name;
  std::string dtype;           // as the file says: "F32", "BF16", "Q8_0", ...
  std::vector<int64_t> shape;  // empty = scalar
  // The values; READ-ONLY where they are the mapped file itself (see SafetensorsFile::tensor). Q8_0
  // comes as F32. Keeps the file open. Throws Error (input).
  std::function<torch::Tensor()> read;
};

// Copies share the files. Thread-safe.
class StoredTensors {
 public:
  // `path` is for messages. Error (input) for a name given twice.
  StoredTensors(std::string path, std::vector<StoredTensor> tensors);

  const std::string& path() const { return path_; }
  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  // Null when there is no such tensor.
  const StoredTensor* find(const std::string& name) const;

  // What was assumed to read them, for people; empty: nothing.
  const std::string& note() const { return note_; }
  void set_note(std::string note) { note_ = std::move(note); }

  // The same tensors under other names.
  StoredTensors renamed(const std::function<std::string(const std::string&)>& rename) const;

 private:
  std::string path_;
  std::vector<StoredTensor> tensors_;
  std::unordered_map<std::string, size_t> index_;
  std::string note_;
};

// Opens weights, told apart by content: safetensors, a PyTorch archive (zip), GGUF, or an
// X.index.json that names the shards of any of the first two, which must lie beside it.
// Error (input) naming what the file is instead.
StoredTensors open_weights(const std::filesystem::path& path);

// The first of `names` that lies in the directory; empty when none does.
std::filesystem::path find_weights(const std::filesystem::path& directory,
                                   std::span<const char* const> names);

}  // namespace opencloc

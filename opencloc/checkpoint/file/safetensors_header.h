// The header of a safetensors file: names, types, shapes and places of its tensors.
// Goal: whatever the bytes, a header is either understood in full and within bounds, or an Error.
// Time and memory are linear in the header's length (but for sorting). No torch here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace opencloc {

// safetensors' own names.
enum class TensorType { kF64, kF32, kF16, kBF16, kI64, kI32, kI16, kI8, kU8, kBool };

const char* to_string(TensorType type);
size_t bytes_of(TensorType type);

struct TensorInfo {
  std::string name;
  TensorType type = TensorType::kF32;
  std::vector<int64_t> shape;  // empty = scalar
  uint64_t begin = 0;          // bytes from the end of the header
  uint64_t end = 0;
};

// Keys of "__metadata__" in the order they were written; values are strings by definition.
using TensorMetadata = std::vector<std::pair<std::string, std::string>>;

struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;  // in the order of the data
  TensorMetadata metadata;
};

// A longer header is refused; the reference implementation has the same limit.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
// torch's own limit is 64; more is a broken file.
constexpr size_t kMaxTensorDims = 16;

// `json`: the header's text; `data_bytes`: how many bytes of data follow it. Checks that every name
// occurs once, every key and type is known, the sizes match the shapes without overflow, and that
// the tensors fill the data from front to back without gaps or overlaps.
// Throws Error (input) naming `where` and the tensor.
SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_bytes,
                                           std::string_view where);

// The text of a header, padded with spaces to a multiple of 8 so that the data is aligned.
std::string format_safetensors_header(const SafetensorsHeader& header);

}  // namespace opencloc

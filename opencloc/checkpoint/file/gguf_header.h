// The header of a GGUF file (versions 2 and 3, little-endian): keys with values, and names, types,
// shapes and places of tensors. https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
// Goal: whatever the bytes, a header is understood in full and within bounds, or an Error. Values
// are views of the bytes, so memory is linear in the counts, which are checked first. No torch.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace opencloc {

enum class GgufType : uint32_t { kF32 = 0, kF16 = 1, kQ8_0 = 8, kI32 = 26, kBF16 = 30 };

const char* to_string(GgufType type);  // "F32", "Q8_0", ...
constexpr uint64_t kQ8Block = 32;      // values that share a scale in Q8_0
constexpr uint64_t kQ8BlockBytes = 34;
// Bytes of `values` values; for Q8_0 a multiple of kQ8Block.
uint64_t bytes_of(GgufType type, uint64_t values);

// GGUF's numbers of its value types.
enum class GgufKind : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

struct GgufValue {
  GgufKind kind = GgufKind::kU32;
  std::string_view bytes;  // the number or the text; an array's elements, unless they are strings
  GgufKind element = GgufKind::kU32;      // of an array
  uint64_t count = 0;                     // of an array
  std::vector<std::string_view> strings;  // of an array of strings
};

struct GgufTensor {
  std::string name;
  GgufType type = GgufType::kF32;
  std::vector<int64_t> shape;  // torch's order: the last side is contiguous
  uint64_t begin = 0;          // bytes from the start of the file
  uint64_t size = 0;
};

class GgufHeader {
 public:
  // `file` is all of the file and outlives the header. Error (input) for a bad magic, version,
  // count, type, name or place.
  GgufHeader(std::span<const std::byte> file, std::string_view where);

  static bool looks_like_one(std::span<const std::byte> file);

  uint32_t version() const { return version_; }
  const std::vector<std::pair<std::string, GgufValue>>& keys() const { return keys_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  // Null when there is no such key.
  const GgufValue* find(std::string_view key) const;

  // Typed; `fallback` when the key is missing, Error (input) when its value is of another type.
  int64_t integer(std::string_view key, int64_t fallback) const;
  double number(std::string_view key, double fallback) const;
  bool boolean(std::string_view key, bool fallback) const;
  std::string text(std::string_view key, std::string_view fallback) const;
  std::vector<double> numbers(std::string_view key) const;  // empty when missing

 private:
  [[noreturn]] void wrong_type(std::string_view key, const char* expected) const;
  std::string where_;
  uint32_t version_ = 0;
  std::vector<std::pair<std::string, GgufValue>> keys_;
  std::vector<GgufTensor> tensors_;
};

// Values to write.
using GgufOut =
    std::variant<uint32_t, float, bool, std::string, std::vector<float>, std::vector<uint32_t>,
                 std::vector<int32_t>, std::vector<std::string>, std::vector<uint8_t>>;

constexpr uint64_t kGgufAlignment = 32;

// The bytes before the data, padded to kGgufAlignment; every tensor's `begin` counts from their
// end. Version 3.
std::string format_gguf_header(const std::vector<std::pair<std::string, GgufOut>>& keys,
                               const std::vector<GgufTensor>& tensors);

}  // namespace opencloc

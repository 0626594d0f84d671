// The wire format of protocol buffers, as much of it as ONNX needs: numbers, texts and messages in
// fields, written front to back, and walked over
// (https://protobuf.dev/programming-guides/encoding). docs/decisions/onnx.md says why it is written
// here.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "opencloc/base/error.h"

namespace opencloc::protobuf {

// How the value of a field lies in the bytes.
enum class Wire : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

inline void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}
inline void put_tag(std::string& out, uint32_t field, Wire wire) {
  put_varint(out, (uint64_t{field} << 3) | static_cast<uint32_t>(wire));
}
inline void put_int(std::string& out, uint32_t field, int64_t value) {
  put_tag(out, field, Wire::kVarint);
  put_varint(out, static_cast<uint64_t>(value));
}
inline void put_float(std::string& out, uint32_t field, float value) {
  put_tag(out, field, Wire::kFixed32);
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
// The head of a field of `size` bytes, which the caller appends: a text, or a message.
inline void put_size(std::string& out, uint32_t field, uint64_t size) {
  put_tag(out, field, Wire::kBytes);
  put_varint(out, size);
}
inline void put_bytes(std::string& out, uint32_t field, std::string_view bytes) {
  put_size(out, field, bytes.size());
  out += bytes;
}

struct Field {
  uint32_t number = 0;
  Wire wire = Wire::kVarint;
  uint64_t value = 0;      // kVarint, kFixed64, kFixed32
  std::string_view bytes;  // kBytes
  // Of kFixed32.
  float single() const { return std::bit_cast<float>(static_cast<uint32_t>(value)); }
};

// What an Error about the bytes says.
struct Origin {
  std::string_view what = "damaged protocol buffer";
  std::string_view where;
  std::string_view mend = "get the file again";
};

// Walks over the fields of a message. Whatever the bytes: fields within them, or an Error (input).
class Fields {
 public:
  // `message` outlives the walk and what it gave, `origin`'s texts the walk.
  Fields(std::string_view message, const Origin& origin) : rest_(message), origin_(origin) {}

  // False at the end.
  bool next(Field& field) {
    if (rest_.empty()) return false;
    const uint64_t tag = varint();
    if (tag >> 3 == 0 || tag >> 3 > kLastField) damaged("a field without a number");
    field = {static_cast<uint32_t>(tag >> 3), static_cast<Wire>(tag & 7), 0, {}};
    switch (field.wire) {
      case Wire::kVarint:
        field.value = varint();
        return true;
      case Wire::kFixed64:
        field.value = fixed<uint64_t>();
        return true;
      case Wire::kFixed32:
        field.value = fixed<uint32_t>();
        return true;
      case Wire::kBytes:
        field.bytes = take(varint());
        return true;
    }
    damaged("a field of a kind that does not exist");
  }

 private:
  static constexpr uint64_t kLastField = (1 << 29) - 1;

  [[noreturn]] void damaged(std::string_view what) const {
    throw Error::input(std::string(origin_.what) + ": " + std::string(what), origin_.where,
                       origin_.mend);
  }
  std::string_view take(uint64_t size) {
    if (size > rest_.size()) damaged("a field reaches beyond its message");
    const auto taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  template <typename T>
  T fixed() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<uint8_t>(take(1)[0]);
      value |= uint64_t{byte & 0x7fU} << shift;
      if (byte < 0x80) return value;
    }
    damaged("a number without an end");
  }

  std::string_view rest_;
  Origin origin_;
};

}  // namespace opencloc::protobuf

// Little-endian numbers and byte runs from memory, every step checked against its end.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "opencloc/base/error.h"

namespace opencloc {

// Not thread-safe. `where` names the file in messages and outlives the reader.
class ByteReader {
 public:
  ByteReader(std::span<const std::byte> bytes, std::string_view where)
      : bytes_(bytes), where_(where) {}

  uint64_t position() const { return position_; }
  uint64_t left() const { return bytes_.size() - position_; }

  // Error (input) when fewer than `count` bytes are left.
  std::string_view take(uint64_t count) {
    if (count > left()) {
      throw Error::input("stops in the middle: " + std::to_string(count) + " bytes wanted at " +
                             std::to_string(position_) + ", " + std::to_string(left()) + " left",
                         where_, "the file is cut short or damaged: get it again");
    }
    const auto* at = reinterpret_cast<const char*>(bytes_.data() + position_);
    position_ += count;
    return {at, count};
  }

  template <typename T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }

 private:
  std::span<const std::byte> bytes_;
  std::string_view where_;
  uint64_t position_ = 0;
};

}  // namespace opencloc

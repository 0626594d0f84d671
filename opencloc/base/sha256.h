// SHA-256 (FIPS 180-4): what a picture or a model is known by.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace opencloc {

class Sha256 {
 public:
  void add(std::string_view bytes);
  // The 64 hexadecimal digits of all that was added. Nothing may be added afterwards.
  std::string hex();

 private:
  void block(const unsigned char* p);

  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<unsigned char, 64> rest_{};
  uint64_t size_ = 0;
};

std::string sha256_hex(std::string_view bytes);

}  // namespace opencloc

#include "opencloc/kernels/scan/fp16.h"

#include <bit>

namespace opencloc::kernels {

fp16 round_to_fp16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  uint32_t rounded;
  if (magnitude > 0x7f800000u) {  // no number
    rounded = 0x7e00u;
  } else if (magnitude >= 0x47800000u) {  // from 65536 on
    rounded = 0x7c00u;
  } else if (magnitude < 0x38800000u) {  // steps of 2^-24, as those of floats beside 0.5 are
    rounded = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) -
              std::bit_cast<uint32_t>(0.5f);
  } else {
    constexpr uint32_t kFewerExponents = (127u - 15u) << 23;
    rounded = (magnitude - kFewerExponents + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  }
  return static_cast<fp16>(sign | rounded);
}

float float_of(fp16 x) {
  const uint32_t sign = static_cast<uint32_t>(x & 0x8000u) << 16, rest = x & 0x7fffu;
  if (rest >= 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | rest << 13);
  const float magnitude = std::bit_cast<float>(rest << 13) * 0x1p112f;  // denormal ones too
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
}

}  // namespace opencloc::kernels

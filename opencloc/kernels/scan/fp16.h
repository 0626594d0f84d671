// Half precision, IEEE 754 binary16: of numbers of unit vectors it keeps eight times as much as
// bf16.
#pragma once

#include <cstdint>

namespace opencloc::kernels {

using fp16 = uint16_t;

// To nearest, of two as near to the even one; what is too large becomes infinite.
fp16 round_to_fp16(float x);
float float_of(fp16 x);

}  // namespace opencloc::kernels

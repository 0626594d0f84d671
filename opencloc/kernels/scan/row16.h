// A row of numbers with 16 bits each, from which scores are computed: x = unit q, |q| <= 32767, the
// unit a power of two and the row's own. What counts for a dot product is the error beside the
// row's largest number, not beside each number, so this is several times as near as half precision
// (docs/results/search.md). A row that is read out and stored again has the same bits.
//
// Rows of older indexes are half precision. Their unit is 0.
#pragma once

#include <cstdint>

#include "opencloc/kernels/scan/fp16.h"

namespace opencloc::kernels {

// The least power of two with which |x| / unit is at most 32767, rounded, for every x. row [width],
// finite. Of zeros alone 1.
float unit16_of(const float* row, int64_t width);
// row [width] -> to [width], as two's complement.
void round_to_16(const float* row, int64_t width, float unit, uint16_t* to);
inline float float_of_16(uint16_t bits, float unit) {
  return unit == 0 ? float_of(bits) : unit * static_cast<float>(static_cast<int16_t>(bits));
}

}  // namespace opencloc::kernels

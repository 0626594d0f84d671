// Repeatable test numbers, bf16 rounding as the definition has it, and a loop over instruction
// sets.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "opencloc/kernels/gemm/packed_bf16.h"
#include "opencloc/kernels/isa/isa.h"
#include "opencloc/kernels/parallel.h"

namespace opencloc::kernels {

// In (-1, 1).
inline std::vector<float> numbers(int64_t count, uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(count));
  uint64_t state = seed * 2 + 1;
  for (float& value : values) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    value = static_cast<float>(static_cast<double>(state >> 40) / (1 << 23) - 1.0);
  }
  return values;
}

inline bf16 to_bf16_reference(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  if (std::isnan(x)) return static_cast<bf16>((bits >> 16) | 0x40u);
  if (std::fpclassify(x) == FP_SUBNORMAL) return static_cast<bf16>(bits >> 16 & 0x8000u);
  return static_cast<bf16>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}
inline float from_bf16_reference(bf16 x) {
  return std::bit_cast<float>(static_cast<uint32_t>(x) << 16);
}
inline double rounded(float x) { return from_bf16_reference(to_bf16_reference(x)); }

template <class Body>
void on_every_isa(const Body& body) {
  for (const Isa isa : supported_isas()) {
    for (const int threads : {1, 3}) {
      SCOPED_TRACE(std::string(to_string(isa)) + ", threads " + std::to_string(threads));
      set_active_isa(isa);
      set_thread_count(threads);
      body();
    }
  }
  set_active_isa(supported_isas().back());
  set_thread_count(1);
}

}  // namespace opencloc::kernels

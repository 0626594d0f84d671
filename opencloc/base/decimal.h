// Floats as people write them.
#pragma once

#include <array>
#include <charconv>

namespace opencloc {

// The decimal with the fewest digits that reads back as the same float: 0.12f -> 0.12.
inline double shortest_decimal(float value) {
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  double result = 0;
  std::from_chars(digits.data(), end, result);
  return result;
}

}  // namespace opencloc

#include "opencloc/data/load/permutation.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "opencloc/base/rng.h"

namespace opencloc {
namespace {

// Halves of fewer bits would mix badly.
constexpr int kFewestBits = 8;

constexpr uint64_t low_mask(int bits) { return (uint64_t{1} << bits) - 1; }

}  // namespace

Permutation::Permutation(uint64_t size, uint64_t seed, std::initializer_list<uint64_t> path)
    : size_(size) {
  const int bits = std::max(kFewestBits, static_cast<int>(std::bit_width(size - (size > 0))));
  low_bits_ = bits / 2;
  high_bits_ = bits - low_bits_;
  Rng rng(seed, path);
  for (uint64_t& key : keys_) key = rng.next();
}

uint64_t Permutation::mix(uint64_t number) const {
  uint64_t low = number & low_mask(low_bits_), high = number >> low_bits_;
  int low_bits = low_bits_, high_bits = high_bits_;
  for (const uint64_t key : keys_) {  // an even number of rounds: the widths end as they began
    high ^= mix64(low ^ key) & low_mask(high_bits);
    std::swap(low, high);
    std::swap(low_bits, high_bits);
  }
  return high << low_bits_ | low;
}

uint64_t Permutation::operator[](uint64_t place) const {
  do {
    place = mix(place);
  } while (place >= size_);
  return place;
}

}  // namespace opencloc

// Counter-based random numbers: the same (seed, stream...) gives the same numbers on every machine,
// whatever the number of threads, so that a sample's augmentation depends on its place alone.
#pragma once

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <numeric>
#include <utility>
#include <vector>

namespace opencloc {

// Mixes 64 bits (splitmix64's finaliser; Steele et al., OOPSLA 2014).
constexpr uint64_t mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

__extension__ using Uint128 = unsigned __int128;

class Rng {
 public:
  using result_type = uint64_t;
  // Independent streams for different `path`s, e.g. Rng(seed, {epoch, sample_index}).
  explicit Rng(uint64_t seed, std::initializer_list<uint64_t> path = {}) : state_(mix64(seed)) {
    for (const uint64_t part : path) state_ = mix64(state_ ^ mix64(part + 0x632be59bd9b4e019ULL));
  }

  uint64_t next() { return mix64(state_ + 0x9e3779b97f4a7c15ULL * ++counter_); }
  uint64_t operator()() { return next(); }
  static constexpr uint64_t min() { return 0; }
  static constexpr uint64_t max() { return ~0ULL; }

  // In [0, 1), 53 bits.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  // In [0, n); n > 0. The bias of the multiply-shift is below 2^-32 for n < 2^32.
  uint64_t below(uint64_t n) {
    return static_cast<uint64_t>((static_cast<Uint128>(next()) * n) >> 64);
  }
  bool chance(double probability) { return uniform() < probability; }
  // Standard normal (Box-Muller; one value a call, so that the stream position is plain).
  double normal() {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
    return radius * std::cos(6.283185307179586 * uniform());
  }

  template <typename T>
  void shuffle(std::vector<T>& items) {
    for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

 private:
  uint64_t state_;
  uint64_t counter_ = 0;
};

}  // namespace opencloc

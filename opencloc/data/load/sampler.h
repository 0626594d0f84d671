// Which sample comes next. The order of samples depends on the seed, the sizes and the weights of
// the sources alone: not on threads, timing or where a run was interrupted.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/data/load/permutation.h"

namespace opencloc {

// One drawn sample. (epoch, index) names its random stream: Rng(seed, {source, epoch, index}).
struct Draw {
  int source = 0;
  uint64_t epoch = 0;
  uint64_t index = 0;  // of the sample within its source

  bool operator==(const Draw&) const = default;
};

// How an epoch is shuffled: 1 by a list of all samples (positions saved without "order"), 2 by a
// Permutation. A sampler draws in the newest.
inline constexpr int kSampleOrder = 2;

// Where a sampler stands: all that a resumed run needs to draw the same samples on.
struct SamplerPosition {
  struct Source {
    uint64_t epoch = 0;
    uint64_t next = 0;  // place in the epoch's shuffled order
    bool operator==(const Source&) const = default;
  };
  uint64_t drawn = 0;  // samples drawn in all
  std::vector<Source> sources;
  int order = kSampleOrder;  // how an epoch is shuffled

  bool operator==(const SamplerPosition&) const = default;
};

Json sampler_position_to_json(const SamplerPosition& position);
// Throws Error (input) naming `where`.
SamplerPosition sampler_position_from_json(const Json& json, std::string_view where);

// Endless: each source is shuffled whole, anew every epoch; each draw picks its source at random in
// proportion to the weights. It takes no memory per sample (Permutation). Not thread-safe.
class Sampler {
 public:
  // `sizes`: samples in each source, 1 to 2^48. `weights`: as many, > 0, of any sum; empty = the
  // sizes (every sample is equally likely). Throws Error (input).
  Sampler(std::vector<uint64_t> sizes, std::vector<double> weights, uint64_t seed);

  Draw next();
  // The same as `draws` calls of next() of which nobody wants to know the result; about 20 ns each.
  void skip(uint64_t draws);
  const SamplerPosition& position() const { return position_; }
  // Goes on there, in the newest order whatever the position's was. Throws Error (input) when
  // `position` belongs to other sources.
  void seek(const SamplerPosition& position);

 private:
  int advance();  // the source that is drawn from; its place is moved on
  Permutation order_of(size_t source) const;

  const uint64_t seed_;
  const std::vector<uint64_t> sizes_;
  std::vector<double> cumulative_;  // of the weights, ends at 1
  SamplerPosition position_;
  std::vector<Permutation> order_;  // of the current epoch, a source each
};

}  // namespace opencloc

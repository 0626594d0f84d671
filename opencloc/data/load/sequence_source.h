// What a multimodal language model learns of a sample, in place of its captions and regions: ids of
// a dialogue about the picture. The loader asks for them; mllm/ makes them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "opencloc/base/rng.h"
#include "opencloc/data/shard/record.h"
#include "opencloc/image/box.h"

namespace opencloc {

struct PreparedSequence {
  // A region that the sequence names, in [0, 1] of the stored picture.
  struct Region {
    Box box;
    bool is_point = false;
    // Where in the region its vector looks: P points, the same number in all regions.
    std::vector<std::array<float, 2>> cloud;
  };
  std::vector<int32_t> ids;
  std::vector<uint8_t> learned;  // beside each id: is it a word to learn?
  std::vector<Region> regions;   // in the order in which the ids name them
};

class SequenceSource {
 public:
  virtual ~SequenceSource() = default;
  // `name`: of the sample; width and height: of its stored picture, in pixels. What is drawn at
  // random follows from `rng` alone. Thread-safe. Throws BadSample.
  virtual PreparedSequence make(const Record& record, const std::string& name, int width,
                                int height, Rng& rng) const = 0;
};

}  // namespace opencloc

// What became of a labelled record's phrases: which have regions, and why the others have none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "opencloc/data/shard/record.h"

namespace opencloc {

struct PhraseFate {
  enum class State { kKept, kDropped, kNotAsked };  // the last: no detector has seen it

  std::string phrase;
  State state = State::kNotAsked;
  std::vector<size_t> regions;      // kept: numbers of the record's regions with this text
  std::optional<size_t> candidate;  // dropped: its best one among readable_candidates()
  std::string why;                  // dropped: "no box", "score 0.07 under 0.1", ...
};

// One for each of the record's "phrases", in their order. Reasons come from the kept "candidates"
// and the thresholds under "vesl"; without candidates a dropped phrase had just "no box". Where
// "vesl" names the detector, regions of other sources (people's) are not a phrase's.
std::vector<PhraseFate> phrase_fates(const Record& record);

}  // namespace opencloc

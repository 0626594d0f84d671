// Where hits should end, from names of which it is known what holds them: the cut-off at which a
// wanted share of the names that nothing holds finds nothing.
//
// Two kinds of cut-off are tried: a z of each query's own scores, and a flat score. The one that
// keeps more of the true hits is the index's.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/index/cut.h"
#include "opencloc/index/store.h"

namespace opencloc {

// A name as a query, and the pictures of the index that hold it; none of an absent name.
struct NamedQuery {
  std::string name;
  std::vector<float> vector;  // [E], unit length
  std::set<int64_t> pictures = {};
};

// What a cut-off does to the names it was found with.
struct CutEffect {
  double limit = 0;         // a z, or a score
  double absent_share = 0;  // of the absent names that find nothing
  double true_share = 0;    // of the true hits among the first 10 of every name that stay
};

struct CalibratedKind {
  CalibratedCut cut;  // the better one of the two
  CutEffect by_z, by_score, guess;
  int64_t true_hits = 0;  // among the first 10 of every name, before any cut
};

// The fewest absent names that say something about a share of 90 %.
inline constexpr size_t kFewestAbsentNames = 10;

// Of every kind of search that differs in this index. `share` in (0, 1): of the absent names that
// should find nothing. Throws Error (input) for too few absent names, and where no name is held.
std::vector<CalibratedKind> calibrate(const IndexStore& index, std::span<const NamedQuery> names,
                                      double share);

Json calibration_json(std::span<const CalibratedKind> kinds);

}  // namespace opencloc

// The pictures of an index that are nearest to a vector, each with the regions that matched.
//
// The store says which rows are nearest (a folder: one pass over int8 rows, the best scored again
// from fp16); the scores that are given are cosines of the stored vectors to 1e-3. Rows are
// gathered by picture, and pictures of which the whole-picture vectors are near-duplicates by the
// best of them. k pictures are given where there are k: whatever is gathered, folded or left out is
// made up for by looking further down.
//
// Where the model predicts how well a region's box holds one object, that quality is part of a
// region's score (quality.h), so that a loose box does not win by being vague. Whole pictures keep
// their plain cosines. Limits and z are of these scores.
//
// A cosine says little by itself (the same number is a good answer to one query and a bad one to
// another), so each hit has a z beside it: its distance from the median of this query's own scores,
// in standard deviations estimated from the lower half of them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "opencloc/image/box.h"
#include "opencloc/index/store.h"

namespace opencloc {

// Rows that are scored again for k pictures, at first: int8 orders near ones otherwise, and a
// picture has several.
constexpr int64_t candidates_of(int64_t k) { return std::max<int64_t>(256, k * 4 * 8); }

// Where hits end by z.
struct Cut {
  enum class Mode { kOff, kAuto, kZ };
  Mode mode = Mode::kOff;
  double z = 0;  // kZ
};
// The z of kAuto where the index was not calibrated: what the best of `rows` rows that have nothing
// to do with the query reaches in every second query, were their scores normal: half a false hit a
// query.
double auto_cut(int64_t rows);

struct SearchOptions {
  SearchUnit unit = SearchUnit::kRegion;
  bool quality = true;  // false: scores are plain cosines also where there are qualities
  int64_t k = 10;
  std::optional<double> min_score = std::nullopt;
  Cut cut = {};
  // The pictures that may be hits, ascending (filter.h); none: all. Medians and z stay those of
  // all.
  std::optional<std::vector<int64_t>> only = std::nullopt;
  bool fold = true;       // near-duplicates into the best of them
  double fold_at = 0.94;  // cosine of whole pictures, clip-retrieval's threshold
  int64_t more_regions = 3;
  double more_iou = 0.5;  // further regions overlap the others by less
};

struct RegionHit {
  int64_t region = 0;  // its place in the picture; 0 = the whole picture
  Box box;             // in [0, 1] of the stored picture
  double score = 0, z = 0;
  double cosine = 0;
  std::optional<double> quality;  // none of whole pictures, and where the model predicts none
};

struct Hit {
  int64_t picture = 0;
  int64_t rank = 0;  // from 1
  RegionHit best;
  std::vector<RegionHit> more;      // best first
  std::vector<int64_t> duplicates;  // pictures folded into this one, best first
};

struct SearchResult {
  std::vector<Hit> hits;  // best first; equal scores in the order pictures were added
  int64_t scanned = 0;    // rows
  double median = 0, deviation = 0;
  std::optional<double> cut_z;  // where hits ended by z
  bool calibrated = false;      // it is the index's own (cut.h), not a guess
  int64_t below = 0;            // of the k best pictures, left out by the cut or the least score
  int64_t folded = 0;           // pictures folded into hits
};

// queries [Q, E], each of unit length -> [Q]. Queries share the passes. Throws Error (input) for
// vectors of another width, and for those that are not finite.
std::vector<SearchResult> search(const IndexStore& index,
                                 std::span<const std::vector<float>> queries,
                                 const SearchOptions& options);

}  // namespace opencloc

#include "opencloc/index/search.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

using kernels::ScanAnswer;
using kernels::ScanHit;

// What int8 may order otherwise: rows scored four times the number wanted, and these per picture.
constexpr int64_t kRescored = 4, kRowsAPicture = 8, kFewestCandidates = 256;
constexpr int64_t kWiden = 4;
// An int8 score is nearer than this to the rescored one.
constexpr double kInt8Error = 0.02;

SearchScore score_by(const SearchOptions& options) {
  return options.quality ? SearchScore::kQuality : SearchScore::kCosine;
}

double score_of(const SegmentColumns& columns, const std::vector<float>& query, int64_t row) {
  return static_cast<double>(
      kernels::exact_score(query.data(), columns.scan.exact + row * columns.width, columns.width));
}

bool contains(const IndexReader& index, SearchUnit unit, size_t segment, int64_t row) {
  const uint64_t* bits = index.parts(unit, SearchScore::kCosine)[segment].left_out;
  return (bits[row / 64] >> (row % 64) & 1) == 0;
}

// One query's hits from its candidates.
class Gathering {
 public:
  Gathering(const IndexReader& index, const std::vector<float>& query, const ScanAnswer& answer,
            const SearchOptions& options)
      : index_(index), query_(query), answer_(answer), options_(options) {
    result_.scanned = index.searched(options.unit);
    result_.median = answer.scores.median();
    result_.deviation = answer.scores.deviation();
    if (options.cut.mode == Cut::Mode::kAuto) result_.cut_z = auto_cut(result_.scanned);
    if (options.cut.mode == Cut::Mode::kZ) result_.cut_z = options.cut.z;
  }

  // False when rows beyond the candidates could be hits too.
  bool gather() {
    for (const ScanHit& candidate : answer_.hits) {
      if (static_cast<int64_t>(result_.hits.size()) + result_.below >= options_.k) return true;
      const auto segment = static_cast<size_t>(candidate.part);
      const SegmentColumns& columns = index_.columns(segment);
      const int64_t picture = columns.image[candidate.row];
      if (!seen_.insert(picture).second) continue;
      take(segment, candidate.row);
    }
    if (static_cast<int64_t>(result_.hits.size()) + result_.below >= options_.k) return true;
    if (static_cast<int64_t>(answer_.hits.size()) >= result_.scanned) return true;
    // What comes behind the candidates is below the limits anyway: nothing there can be a hit.
    return limit().has_value() && !answer_.hits.empty() &&
           static_cast<double>(answer_.hits.back().score) < *limit() - kInt8Error;
  }
  SearchResult take_result() { return std::move(result_); }

 private:
  double z_of(double score) const { return (score - result_.median) / result_.deviation; }
  // The score below which nothing is a hit.
  std::optional<double> limit() const {
    std::optional<double> least = options_.min_score;
    if (result_.cut_z) {
      const double by_z = result_.median + *result_.cut_z * result_.deviation;
      least = least ? std::max(*least, by_z) : by_z;
    }
    return least;
  }

  // A row as a hit; the scan's scores are made in the same way.
  RegionHit region_hit(size_t segment, int64_t first, int64_t row) const {
    const SegmentColumns& columns = index_.columns(segment);
    const auto cosine = static_cast<float>(score_of(columns, query_, row));
    const float* offset = index_.parts(options_.unit, score_by(options_))[segment].offset;
    const float score = offset == nullptr ? cosine : cosine + offset[row];
    RegionHit hit;
    hit.region = row - first;
    hit.box = box_of(columns.box[row]);
    hit.score = static_cast<double>(score);
    hit.z = z_of(hit.score);
    hit.cosine = static_cast<double>(cosine);
    if (columns.quality != nullptr && row != first)
      hit.quality = static_cast<double>(quality_of(columns.quality[row]));
    return hit;
  }

  void take(size_t segment, int64_t row) {
    const SegmentColumns& columns = index_.columns(segment);
    const int64_t first = columns.first_row(row);
    const RegionHit best = region_hit(segment, first, row);
    if (limit() && best.score < *limit()) {
      ++result_.below;
      return;
    }
    if (options_.fold && fold_into_earlier(columns, first)) return;
    Hit hit;
    hit.picture = columns.image[row];
    hit.rank = static_cast<int64_t>(result_.hits.size()) + 1;
    hit.best = best;
    add_regions(segment, first, row, hit);
    result_.hits.push_back(std::move(hit));
    if (options_.fold) whole_.push_back(columns.vector(first));
  }

  bool fold_into_earlier(const SegmentColumns& columns, int64_t first) {
    for (size_t i = 0; i < whole_.size(); ++i) {
      if (score_of(columns, whole_[i], first) < options_.fold_at) continue;
      result_.hits[i].duplicates.push_back(columns.image[first]);
      ++result_.folded;
      return true;
    }
    return false;
  }

  // Further regions of the picture that overlap the ones that were taken by little.
  void add_regions(size_t segment, int64_t first, int64_t best, Hit& hit) const {
    const SegmentColumns& columns = index_.columns(segment);
    std::vector<RegionHit> others;
    const int64_t end = columns.end_row(first);
    for (int64_t row = first; row < end; ++row) {
      if (row == best || !contains(index_, options_.unit, segment, row)) continue;
      const RegionHit other = region_hit(segment, first, row);
      if (std::isnan(other.score) || (limit() && other.score < *limit())) continue;
      others.push_back(other);
    }
    std::stable_sort(others.begin(), others.end(),
                     [](const RegionHit& a, const RegionHit& b) { return a.score > b.score; });
    for (const RegionHit& other : others) {
      if (static_cast<int64_t>(hit.more.size()) >= options_.more_regions) break;
      const auto apart = [&](const RegionHit& taken) {
        return static_cast<double>(iou(taken.box, other.box)) < options_.more_iou;
      };
      if (apart(hit.best) && std::all_of(hit.more.begin(), hit.more.end(), apart))
        hit.more.push_back(other);
    }
  }

  const IndexReader& index_;
  const std::vector<float>& query_;
  const ScanAnswer& answer_;
  const SearchOptions& options_;
  SearchResult result_;
  std::unordered_set<int64_t> seen_;
  std::vector<std::vector<float>> whole_;  // of the hits
};

void require_queries(const IndexReader& index, std::span<const std::vector<float>> queries) {
  for (const auto& query : queries) {
    if (static_cast<int64_t>(query.size()) != index.info().width) {
      throw Error::input("a query of " + std::to_string(query.size()) +
                             " numbers for an index of " + std::to_string(index.info().width),
                         index.path().string(), "use the model that the index was made with");
    }
    if (!std::all_of(query.begin(), query.end(), [](float x) { return std::isfinite(x); }))
      throw Error::input("the query has numbers that are not finite", index.path().string());
  }
}

}  // namespace

double auto_cut(int64_t rows) {
  const double tail = 0.5 / static_cast<double>(std::max<int64_t>(rows, 1));
  double low = 0, high = 10;  // of z; half of the normal's tail at z is erfc(z / sqrt 2) / 2
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(middle / std::sqrt(2.0)) > tail ? low : high) = middle;
  }
  return low;
}

std::vector<SearchResult> search(const IndexReader& index,
                                 std::span<const std::vector<float>> queries,
                                 const SearchOptions& options) {
  require_queries(index, queries);
  const auto parts = index.parts(options.unit, score_by(options));
  const int64_t all = index.searched(options.unit), width = index.info().width;
  std::vector<SearchResult> results(queries.size());
  std::vector<size_t> open;
  for (size_t i = 0; i < queries.size(); ++i) open.push_back(i);
  int64_t candidates = std::max(kFewestCandidates, options.k * kRescored * kRowsAPicture);
  while (!open.empty()) {
    candidates = std::min(candidates, std::max<int64_t>(all, 1));
    std::vector<float> rows;  // [open, E]
    for (const size_t i : open) rows.insert(rows.end(), queries[i].begin(), queries[i].end());
    const auto answers =
        kernels::scan(parts, width, rows.data(), static_cast<int64_t>(open.size()), candidates);
    std::vector<size_t> wider;
    for (size_t j = 0; j < open.size(); ++j) {
      Gathering gathering(index, queries[open[j]], answers[j], options);
      const bool done = gathering.gather() || candidates == all || all == 0;
      if (done) {
        results[open[j]] = gathering.take_result();
      } else {
        wider.push_back(open[j]);
      }
    }
    open = std::move(wider);
    candidates *= kWiden;
  }
  return results;
}

}  // namespace opencloc

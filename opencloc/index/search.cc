#include "opencloc/index/search.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "opencloc/base/error.h"
#include "opencloc/index/quality.h"

namespace opencloc {
namespace {

constexpr int64_t kWiden = 4;
// An int8 score is nearer than this to the rescored one.
constexpr double kInt8Error = 0.02;

// Pictures whose rows are fetched together: at least, at most.
constexpr int64_t kFewestAtATime = 16, kMostAtATime = 256;

SearchScore score_by(const SearchOptions& options) {
  return options.quality ? SearchScore::kQuality : SearchScore::kCosine;
}

bool belongs_to(SearchUnit unit, int64_t region) {
  return unit == SearchUnit::kBoth || (region == 0) == (unit == SearchUnit::kPicture);
}

// One query's hits from its candidates.
class Gathering {
 public:
  Gathering(const IndexStore& index, const std::vector<float>& query, const Nearest& nearest,
            const SearchOptions& options)
      : index_(index), query_(query), nearest_(nearest), options_(options) {
    result_.scanned = index.searched(options.unit);
    result_.median = nearest.median;
    result_.deviation = nearest.deviation;
    if (options.cut.mode == Cut::Mode::kAuto) set_auto_cut();
    if (options.cut.mode == Cut::Mode::kZ) result_.cut_z = options.cut.z;
  }

  // False when rows beyond the candidates could be hits too.
  bool gather() {
    const auto bests = best_of_each();
    for (size_t begin = 0; begin < bests.size() && !is_full();) {
      const size_t end = std::min(bests.size(), begin + at_a_time());
      take_some({bests.data() + begin, bests.data() + end});
      begin = end;
    }
    if (is_full()) return true;
    if (static_cast<int64_t>(nearest_.rows.size()) >= result_.scanned) return true;
    // What comes behind the candidates is below the limits anyway: nothing there can be a hit.
    return limit().has_value() && !nearest_.rows.empty() &&
           nearest_.rows.back().score < *limit() - kInt8Error;
  }
  SearchResult take_result() { return std::move(result_); }

 private:
  bool may_be_hit(int64_t picture) const {
    return !options_.only ||
           std::binary_search(options_.only->begin(), options_.only->end(), picture);
  }
  bool is_full() const {
    return static_cast<int64_t>(result_.hits.size()) + result_.below >= options_.k;
  }
  size_t at_a_time() const {
    const int64_t wanted = options_.k - static_cast<int64_t>(result_.hits.size());
    return static_cast<size_t>(std::clamp(wanted, kFewestAtATime, kMostAtATime));
  }
  void set_auto_cut() {
    const bool rated =
        options_.quality && options_.unit != SearchUnit::kPicture && index_.has_quality();
    const auto own = find_cut(index_.cuts(), options_.unit,
                              rated ? SearchScore::kQuality : SearchScore::kCosine);
    result_.calibrated = own.has_value();
    result_.cut_z = auto_cut(result_.scanned);
    if (own) result_.cut_z = own->flat ? z_of(own->limit) : own->limit;
  }
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

  // The best candidate of every picture, best first.
  std::vector<NearRow> best_of_each() const {
    std::vector<NearRow> bests;
    std::unordered_set<int64_t> seen;
    for (const NearRow& candidate : nearest_.rows) {
      if (may_be_hit(candidate.picture) && seen.insert(candidate.picture).second)
        bests.push_back(candidate);
    }
    return bests;
  }

  // Pictures of which the rows are fetched together; those that were removed meanwhile have none.
  void take_some(std::span<const NearRow> bests) {
    std::vector<int64_t> ids;
    for (const NearRow& best : bests) {
      if (!(limit() && best.score < *limit())) ids.push_back(best.picture);
    }
    const auto fetched = index_.rows_of(ids);
    auto rows = fetched.begin();
    for (const NearRow& best : bests) {
      if (is_full()) return;
      if (limit() && best.score < *limit()) {
        ++result_.below;
      } else if (rows != fetched.end() && rows->picture == best.picture) {
        take(*rows++, best);
      }
    }
  }

  void take(const PictureRows& picture, const NearRow& best) {
    const auto row = std::find_if(picture.rows.begin(), picture.rows.end(),
                                  [&](const auto& other) { return other.region == best.region; });
    if (row == picture.rows.end()) return;  // another picture's by now
    if (options_.fold && fold_into_earlier(picture)) return;
    Hit hit;
    hit.picture = picture.picture;
    hit.rank = static_cast<int64_t>(result_.hits.size()) + 1;
    hit.best = region_hit(*row, best.score);
    add_regions(picture, hit);
    result_.hits.push_back(std::move(hit));
    if (options_.fold) whole_.push_back(picture.rows.front().vector);
  }

  // A row as a hit; `score` where the store has given it one already.
  RegionHit region_hit(const StoredRow& row, std::optional<double> score = std::nullopt) const {
    const double scale = index_.info().inverse_temperature;
    double offset = 0;
    if (options_.quality && row.quality && scale > 0)
      offset = static_cast<double>(quality_offset(stored_quality(*row.quality), scale));
    RegionHit hit;
    hit.region = row.region;
    hit.box = row.box;
    hit.cosine = score && offset == 0 ? *score : dot_product(query_, row.vector);
    hit.score = score.value_or(hit.cosine + offset);
    hit.z = z_of(hit.score);
    if (row.quality) hit.quality = static_cast<double>(*row.quality);
    return hit;
  }

  bool fold_into_earlier(const PictureRows& picture) {
    for (size_t i = 0; i < whole_.size(); ++i) {
      if (dot_product(whole_[i], picture.rows.front().vector) < options_.fold_at) continue;
      result_.hits[i].duplicates.push_back(picture.picture);
      ++result_.folded;
      return true;
    }
    return false;
  }

  // Further regions of the picture that overlap the ones that were taken by little.
  void add_regions(const PictureRows& picture, Hit& hit) const {
    std::vector<RegionHit> others;
    for (const StoredRow& row : picture.rows) {
      if (row.region == hit.best.region || !belongs_to(options_.unit, row.region)) continue;
      const RegionHit other = region_hit(row);
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

  const IndexStore& index_;
  const std::vector<float>& query_;
  const Nearest& nearest_;
  const SearchOptions& options_;
  SearchResult result_;
  std::vector<std::vector<float>> whole_;  // of the hits
};

void require_queries(const IndexStore& index, std::span<const std::vector<float>> queries) {
  for (const auto& query : queries) {
    if (static_cast<int64_t>(query.size()) != index.info().width) {
      throw Error::input("a query of " + std::to_string(query.size()) +
                             " numbers for an index of " + std::to_string(index.info().width),
                         index.name(), "use the model that the index was made with");
    }
    if (!std::all_of(query.begin(), query.end(), [](float x) { return std::isfinite(x); }))
      throw Error::input("the query has numbers that are not finite", index.name());
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

std::vector<SearchResult> search(const IndexStore& index,
                                 std::span<const std::vector<float>> queries,
                                 const SearchOptions& options) {
  require_queries(index, queries);
  const int64_t all = index.searched(options.unit);
  std::vector<SearchResult> results(queries.size());
  std::vector<size_t> open;
  for (size_t i = 0; i < queries.size(); ++i) open.push_back(i);
  int64_t candidates = candidates_of(options.k);
  while (!open.empty()) {
    candidates = std::min(candidates, std::max<int64_t>(all, 1));
    std::vector<std::vector<float>> asked;
    for (const size_t i : open) asked.push_back(queries[i]);
    const auto answers = index.nearest(options.unit, score_by(options), asked, candidates);
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

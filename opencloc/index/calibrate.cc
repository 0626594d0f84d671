#include "opencloc/index/calibrate.h"

#include <algorithm>
#include <cmath>

#include "opencloc/base/error.h"
#include "opencloc/index/search.h"

namespace opencloc {
namespace {

constexpr int64_t kJudgedHits = 10;
constexpr double kJustAbove = 1e-6;

struct Scored {
  double score = 0, z = 0;
};

// The best of every absent name, and all true hits among the first of every other.
struct Measured {
  std::vector<Scored> absent, held;
  double guess = 0;  // the z of an index that is not calibrated
};

Measured measure(const IndexStore& index, std::span<const NamedQuery> names,
                 const SearchOptions& options) {
  std::vector<std::vector<float>> queries;
  for (const NamedQuery& name : names) queries.push_back(name.vector);
  const auto results = search(index, queries, options);
  Measured measured;
  measured.guess = auto_cut(index.searched(options.unit));
  for (size_t i = 0; i < names.size(); ++i) {
    const auto& hits = results[i].hits;
    if (names[i].pictures.empty()) {
      if (!hits.empty()) measured.absent.push_back({hits.front().best.score, hits.front().best.z});
      continue;
    }
    for (const Hit& hit : hits) {
      if (names[i].pictures.contains(hit.picture))
        measured.held.push_back({hit.best.score, hit.best.z});
    }
  }
  return measured;
}

// Where `share` of the values lie below: in the middle between two of them, so that names like
// these, and not these alone, are cut as wanted.
double limit_above(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  const auto count = static_cast<double>(values.size());
  const auto last = static_cast<size_t>(std::max(1.0, std::ceil(share * count - 1e-9))) - 1;
  if (last + 1 == values.size()) return values[last] + kJustAbove;
  return std::max(values[last] + kJustAbove, (values[last] + values[last + 1]) / 2);
}

CutEffect effect_of(const Measured& measured, double Scored::*of, double limit) {
  const auto share = [&](const std::vector<Scored>& hits, bool above) {
    const auto count = std::count_if(
        hits.begin(), hits.end(), [&](const Scored& hit) { return (hit.*of >= limit) == above; });
    return static_cast<double>(count) / static_cast<double>(std::max<size_t>(hits.size(), 1));
  };
  return {limit, share(measured.absent, false), share(measured.held, true)};
}

CalibratedKind calibrated(const Measured& measured, double share) {
  std::vector<double> scores, zs;
  for (const Scored& best : measured.absent) {
    scores.push_back(best.score);
    zs.push_back(best.z);
  }
  CalibratedKind kind;
  kind.by_z = effect_of(measured, &Scored::z, limit_above(zs, share));
  kind.by_score = effect_of(measured, &Scored::score, limit_above(scores, share));
  kind.guess = effect_of(measured, &Scored::z, measured.guess);
  kind.true_hits = static_cast<int64_t>(measured.held.size());
  kind.cut.flat = kind.by_score.true_share > kind.by_z.true_share;
  kind.cut.limit = kind.cut.flat ? kind.by_score.limit : kind.by_z.limit;
  return kind;
}

Json effect_json(const CutEffect& effect) {
  return {{"limit", effect.limit},
          {"absent_without_hit", effect.absent_share},
          {"true_hits_kept", effect.true_share}};
}

}  // namespace

std::vector<CalibratedKind> calibrate(const IndexStore& index, std::span<const NamedQuery> names,
                                      double share) {
  const auto absent = static_cast<size_t>(std::count_if(
      names.begin(), names.end(), [](const auto& name) { return name.pictures.empty(); }));
  if (absent < kFewestAbsentNames) {
    throw Error::input(std::to_string(absent) + " names that nothing holds, at least " +
                           std::to_string(kFewestAbsentNames) + " are needed",
                       index.name(), "add names to the vocabulary that the data does not hold");
  }
  if (absent == names.size()) {
    throw Error::input("the data has no name for any picture of the index", index.name(),
                       "give the data whose pictures were added");
  }
  std::vector<CalibratedKind> kinds;
  for (const SearchUnit unit : {SearchUnit::kPicture, SearchUnit::kRegion, SearchUnit::kBoth}) {
    if (index.searched(unit) == 0) continue;
    for (const SearchScore score : {SearchScore::kCosine, SearchScore::kQuality}) {
      const bool quality = score == SearchScore::kQuality;
      if (quality && (unit == SearchUnit::kPicture || !index.has_quality())) continue;
      SearchOptions options{.unit = unit, .quality = quality, .k = kJudgedHits, .fold = false};
      options.more_regions = 0;
      CalibratedKind kind = calibrated(measure(index, names, options), share);
      kind.cut.unit = unit;
      kind.cut.score = score;
      kinds.push_back(kind);
    }
  }
  return kinds;
}

Json calibration_json(std::span<const CalibratedKind> kinds) {
  Json json = Json::array();
  for (const CalibratedKind& kind : kinds) {
    Json one = cuts_json({&kind.cut, 1}).front();
    one["true_hits"] = kind.true_hits;
    one["by_z"] = effect_json(kind.by_z);
    one["by_score"] = effect_json(kind.by_score);
    one["guess"] = effect_json(kind.guess);
    json.push_back(std::move(one));
  }
  return json;
}

}  // namespace opencloc

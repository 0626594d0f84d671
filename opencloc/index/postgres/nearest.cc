#include "opencloc/index/postgres/nearest.h"

#include <algorithm>
#include <utility>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/rng.h"
#include "opencloc/index/quality.h"
#include "opencloc/kernels/scan/scan.h"

namespace opencloc {
namespace {

// hnsw.ef_search, the rows that the graph's search holds: as many as are wanted, within pgvector's
// limit, and enough for a good recall.
constexpr int64_t kLeastHeld = 100, kMostHeld = 1000;
// More candidates than these come faster from the scan.
constexpr int64_t kMostFromGraph = 4000;

// One text for each unit: the condition must be the partial index's own.
const char* statement_of(SearchUnit unit) {
  switch (unit) {
    case SearchUnit::kPicture:
      return "SELECT picture, region, vector, quality FROM vectors WHERE region = 0 "
             "ORDER BY vector <#> $1::halfvec LIMIT $2::int8";
    case SearchUnit::kRegion:
      return "SELECT picture, region, vector, quality FROM vectors WHERE region > 0 "
             "ORDER BY vector <#> $1::halfvec LIMIT $2::int8";
    case SearchUnit::kBoth:
      break;
  }
  return "SELECT picture, region, vector, quality FROM vectors "
         "ORDER BY vector <#> $1::halfvec LIMIT $2::int8";
}

// With quality_offset(): $3 is the inverse temperature, 0.01 is kLeastQuality.
std::string statement_with_quality(SearchUnit unit) {
  return std::string("SELECT picture, region, vector, quality FROM vectors") +
         (unit == SearchUnit::kRegion ? " WHERE region > 0" : "") +
         " ORDER BY (vector <#> $1::halfvec) - "
         "ln(greatest(coalesce(quality, 1)::float8, 0.01)) / $3::text::float8 LIMIT $2::int8";
}

double score_of_row(const std::vector<float>& query, const std::vector<float>& vector,
                    std::optional<float> quality, double inverse_temperature) {
  const double cosine = dot_product(query, vector);
  if (!quality || !(inverse_temperature > 0)) return cosine;
  const float offset = quality_offset(stored_quality(*quality), inverse_temperature);
  return cosine + static_cast<double>(offset);
}

void keep_best(std::vector<NearRow>& rows, int64_t count) {
  std::sort(rows.begin(), rows.end(), [](const NearRow& a, const NearRow& b) {
    if (a.score != b.score) return a.score > b.score;
    return std::pair(a.picture, a.region) < std::pair(b.picture, b.region);
  });
  if (static_cast<int64_t>(rows.size()) > count) rows.resize(static_cast<size_t>(count));
}

}  // namespace

int32_t draw_of(int64_t picture, int64_t region) {
  const auto place = static_cast<uint64_t>(picture) << 20 ^ static_cast<uint64_t>(region);
  return static_cast<int32_t>(mix64(place) >> 33);
}

bool PostgresGraphs::serve(SearchUnit unit) const {
  if (unit == SearchUnit::kPicture) return pictures;
  return unit == SearchUnit::kRegion ? regions : pictures && regions;
}

void PostgresNearest::refresh() {
  graphs_.reset();
  for (auto& sample : samples_) sample.reset();
}

const PostgresGraphs& PostgresNearest::graphs() {
  if (graphs_) return *graphs_;
  graphs_.emplace();
  const auto rows = connection_.query(
      "SELECT c.relname::text FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid "
      "WHERE c.relnamespace = current_schema()::regnamespace AND i.indisvalid "
      "AND c.relname IN ('hnsw_of_pictures', 'hnsw_of_regions')");
  for (int64_t row = 0; row < rows.count(); ++row)
    (rows.bytes(row, 0) == "hnsw_of_pictures" ? graphs_->pictures : graphs_->regions) = true;
  return *graphs_;
}

void PostgresNearest::set_plan(Plan plan, int64_t candidates) {
  const int64_t held = std::clamp(candidates, kLeastHeld, kMostHeld);
  const char* without_graph = plan == Plan::kGraph ? "off" : "on";
  connection_.query(
      "SELECT set_config('enable_indexscan', $1::text, false), "
      "set_config('enable_seqscan', $2::text, false), "
      "set_config('enable_bitmapscan', $2::text, false), "
      "set_config('enable_sort', $2::text, false), "
      "set_config('hnsw.ef_search', $3::text, false)",
      PostgresValues()
          .text(plan == Plan::kScan ? "off" : "on")
          .text(without_graph)
          .text(std::to_string(held)));
}

std::vector<NearRow> PostgresNearest::candidates_of(const std::vector<float>& query,
                                                    const NearestAsk& ask) {
  PostgresValues values = PostgresValues().half_vector(query).number(ask.candidates);
  const bool rated = ask.inverse_temperature > 0;
  if (rated) values.text(fmt::format("{}", ask.inverse_temperature));
  const auto rows = connection_.query(
      rated ? statement_with_quality(ask.unit) : std::string(statement_of(ask.unit)), values);
  std::vector<NearRow> found;
  for (int64_t row = 0; row < rows.count(); ++row) {
    found.push_back({rows.number(row, 0), rows.number(row, 1),
                     score_of_row(query, read_half_vector(rows.bytes(row, 2)),
                                  rows.real_or_null(row, 3), ask.inverse_temperature)});
  }
  return found;
}

Nearest PostgresNearest::nearest(const std::vector<float>& query, const NearestAsk& ask) {
  Nearest found;
  bool is_enough = false;
  const bool may_take_graph = ask.by == NearestBy::kBest && !(ask.inverse_temperature > 0);
  if (may_take_graph && graphs().serve(ask.unit) && ask.candidates <= kMostFromGraph) {
    set_plan(Plan::kGraph, ask.candidates);
    if (ask.unit == SearchUnit::kBoth) {  // two graphs
      NearestAsk of_unit = ask;
      of_unit.unit = SearchUnit::kPicture;
      found.rows = candidates_of(query, of_unit);
      of_unit.unit = SearchUnit::kRegion;
      const auto regions = candidates_of(query, of_unit);
      found.rows.insert(found.rows.end(), regions.begin(), regions.end());
    } else {
      found.rows = candidates_of(query, ask);
    }
    is_enough = static_cast<int64_t>(found.rows.size()) >= std::min(ask.candidates, ask.all);
  }
  if (!is_enough) {
    set_plan(Plan::kScan);
    found.rows = candidates_of(query, ask);
  }
  set_plan(Plan::kAny);
  keep_best(found.rows, ask.candidates);
  kernels::ScoreHistogram scores;
  for (const Sampled& row : sample(ask.unit)) {
    const double score = score_of_row(query, row.vector, row.quality, ask.inverse_temperature);
    const auto bin = static_cast<int64_t>((score + 1) * (kernels::ScoreHistogram::kBins / 2));
    scores.add(std::clamp<int64_t>(bin, 0, kernels::ScoreHistogram::kBins - 1));
  }
  found.median = scores.median();
  found.deviation = scores.deviation();
  return found;
}

const std::vector<PostgresNearest::Sampled>& PostgresNearest::sample(SearchUnit unit) {
  auto& kept = samples_[static_cast<size_t>(unit)];
  if (kept) return *kept;
  std::vector<Sampled> drawn;
  if (unit == SearchUnit::kBoth) {
    drawn = sample(SearchUnit::kPicture);
    const auto& regions = sample(SearchUnit::kRegion);
    drawn.insert(drawn.end(), regions.begin(), regions.end());
    std::stable_sort(drawn.begin(), drawn.end(),
                     [](const Sampled& a, const Sampled& b) { return a.draw < b.draw; });
    if (static_cast<int64_t>(drawn.size()) > kSampledRows) drawn.resize(kSampledRows);
  } else {
    const auto rows = connection_.query(
        unit == SearchUnit::kPicture
            ? "SELECT draw, vector, quality FROM vectors WHERE region = 0 ORDER BY draw "
              "LIMIT $1::int8"
            : "SELECT draw, vector, quality FROM vectors WHERE region > 0 ORDER BY draw "
              "LIMIT $1::int8",
        PostgresValues().number(kSampledRows));
    for (int64_t row = 0; row < rows.count(); ++row) {
      drawn.push_back({static_cast<int32_t>(rows.number(row, 0)),
                       read_half_vector(rows.bytes(row, 1)), rows.real_or_null(row, 2)});
    }
  }
  kept = std::move(drawn);
  return *kept;
}

std::vector<std::vector<float>> PostgresNearest::sampled_vectors(SearchUnit unit, int64_t count) {
  std::vector<std::vector<float>> vectors;
  for (const Sampled& row : sample(unit)) {
    if (static_cast<int64_t>(vectors.size()) >= count) break;
    vectors.push_back(row.vector);
  }
  return vectors;
}

}  // namespace opencloc

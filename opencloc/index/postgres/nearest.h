// Which rows of an index in a database are nearest to a vector.
//
// Without HNSW indexes every row is looked at: a sequential scan, exact. With them (`index
// compact`) the best rows come out of a graph, and a few may be missed; where they give too few, or
// very many are wanted, the scan is taken after all. Either way, the best rows are scored again
// here, in double, from the vectors as they are stored. HNSW knows nothing of qualities: where they
// count, every row is looked at.
//
// The spread of the scores, from which a hit's z follows, comes from a fixed random sample of
// kSampledRows rows: those whose `draw`, a hash of picture and region, is least. It is read once
// and scored here. Its median is within 0.02 standard deviations of that of all rows, its deviation
// within 2.8 % (one standard error, were the scores normal: sqrt(pi / 2 n) and 1.79 / sqrt(n)), so
// that a z of 5 is certain to 0.14. Four times as many rows would halve that and be 16 MB to read
// for one search.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "opencloc/index/postgres/connection.h"
#include "opencloc/index/store.h"

namespace opencloc {

constexpr int64_t kSampledRows = 4096;

// The random number of a row, 31 bits.
int32_t draw_of(int64_t picture, int64_t region);

// By unit, whether there is an HNSW index of whole pictures, of regions.
struct PostgresGraphs {
  bool pictures = false, regions = false;
  bool serve(SearchUnit unit) const;
};

enum class NearestBy { kBest, kScan };  // HNSW where it is there; the scan in any case

struct NearestAsk {
  SearchUnit unit = SearchUnit::kRegion;
  int64_t candidates = 0;
  int64_t all = 0;  // how many rows there are of this unit
  NearestBy by = NearestBy::kBest;
  // Above 0: scores have what qualities add at this inverse temperature (quality.h).
  double inverse_temperature = 0;
};

// Not thread-safe. `connection` outlives it.
class PostgresNearest {
 public:
  explicit PostgresNearest(PostgresConnection& connection) : connection_(connection) {}

  // Forgets the sample and whether there are HNSW indexes.
  void refresh();
  Nearest nearest(const std::vector<float>& query, const NearestAsk& ask);
  const PostgresGraphs& graphs();
  // Vectors of rows drawn at random.
  std::vector<std::vector<float>> sampled_vectors(SearchUnit unit, int64_t count);

 private:
  struct Sampled {
    int32_t draw = 0;
    std::vector<float> vector;
    std::optional<float> quality;
  };
  const std::vector<Sampled>& sample(SearchUnit unit);
  // How the planner may find rows until it is set again.
  enum class Plan { kAny, kGraph, kScan };
  void set_plan(Plan plan, int64_t candidates = 0);
  std::vector<NearRow> candidates_of(const std::vector<float>& query, const NearestAsk& ask);

  PostgresConnection& connection_;
  std::optional<PostgresGraphs> graphs_;
  std::array<std::optional<std::vector<Sampled>>, 3> samples_;  // by SearchUnit
};

}  // namespace opencloc

// PostgresWriter::compact(): the HNSW indexes.
#include <algorithm>
#include <cstddef>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/error.h"
#include "opencloc/index/postgres/nearest.h"
#include "opencloc/index/postgres/writer.h"

namespace opencloc {
namespace {

constexpr int64_t kWidestGraph = 4000;  // numbers of a halfvec that HNSW takes
constexpr int64_t kAskedForRecall = 20, kBestForRecall = 10;
constexpr int64_t kCandidatesForRecall = 320;  // as search() asks for 10 pictures

struct Graph {
  const char* name;
  const char* condition;
  SearchUnit unit;
  const char* rows;  // for people
};
// pgvector's defaults: m = 16, ef_construction = 64.
constexpr Graph kGraphs[] = {
    {"hnsw_of_pictures", "region = 0", SearchUnit::kPicture, "pictures"},
    {"hnsw_of_regions", "region > 0", SearchUnit::kRegion, "regions"},
};

// What a rebuilding that was cut off has left.
void drop_invalid_indexes(PostgresConnection& connection) {
  const auto left = connection.query(
      "SELECT c.relname::text FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid "
      "WHERE c.relnamespace = current_schema()::regnamespace AND NOT i.indisvalid");
  for (int64_t row = 0; row < left.count(); ++row)
    connection.execute("DROP INDEX " + connection.quoted(left.text(row, 0)));
}

// Which share of the best rows the graph finds, over rows of the index as queries. "0.995 (least
// 0.9)"; empty when there are no rows.
std::string recall_of_graph(PostgresNearest& nearest, SearchUnit unit, int64_t all) {
  double sum = 0, least = 1;
  const auto queries = nearest.sampled_vectors(unit, kAskedForRecall);
  for (const auto& query : queries) {
    const auto exact =
        nearest
            .nearest(
                query,
                {.unit = unit, .candidates = kBestForRecall, .all = all, .by = NearestBy::kScan})
            .rows;
    const auto found =
        nearest.nearest(query, {.unit = unit, .candidates = kCandidatesForRecall, .all = all}).rows;
    if (exact.empty()) return {};
    const double bar = exact.back().score - 1e-6;  // by score, so that equal rows count
    const auto good = std::count_if(found.begin(), found.end(),
                                    [&](const NearRow& row) { return row.score >= bar; });
    const auto of = static_cast<std::ptrdiff_t>(exact.size());
    const double recall = static_cast<double>(std::min(good, of)) / static_cast<double>(of);
    sum += recall;
    least = std::min(least, recall);
  }
  if (queries.empty()) return {};
  return fmt::format("{:.3f} (least {:.1f})", sum / static_cast<double>(queries.size()), least);
}

}  // namespace

Compaction PostgresWriter::compact(const std::function<void(int64_t rows)>& copied) {
  commit();
  if (state_.info.width > kWidestGraph) {
    throw Error::input("vectors of " + std::to_string(state_.info.width) +
                           " numbers, pgvector's HNSW takes " + std::to_string(kWidestGraph),
                       connection_->address().shown, "search without: it is exact");
  }
  drop_invalid_indexes(*connection_);
  for (const char* table : {"pictures", "names", "texts", "vectors"})
    connection_->execute(std::string("VACUUM (ANALYZE) ") + table);
  PostgresNearest nearest(*connection_);
  const PostgresGraphs before = nearest.graphs();
  state_ = read_postgres_state(*connection_);
  Compaction result;
  result.rows = state_.vectors;
  for (const Graph& graph : kGraphs) {
    const bool is_picture = graph.unit == SearchUnit::kPicture;
    const bool is_there = is_picture ? before.pictures : before.regions;
    if (is_there) {
      connection_->execute(std::string("REINDEX INDEX CONCURRENTLY ") + graph.name);
    } else {
      connection_->execute(std::string("CREATE INDEX ") + graph.name +
                           " ON vectors USING hnsw (vector halfvec_ip_ops) WHERE " +
                           graph.condition);
    }
    nearest.refresh();
    const int64_t rows = is_picture ? state_.pictures : state_.vectors - state_.pictures;
    const std::string recall = recall_of_graph(nearest, graph.unit, rows);
    result.says += fmt::format("{}HNSW index of {} {} {}", result.says.empty() ? "" : "; ", rows,
                               graph.rows, is_there ? "built anew" : "built");
    if (!recall.empty()) result.says += ", recall of the best 10: " + recall;
    if (copied) copied(rows);
  }
  count(0, 0);  // readers look again
  return result;
}

}  // namespace opencloc

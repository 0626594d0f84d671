#include "opencloc/index/postgres/reader.h"

#include <unordered_map>
#include <utility>

#include "opencloc/index/postgres/postgres.h"

namespace opencloc {

PostgresReader::PostgresReader(const PostgresAddress& address)
    : connection_(connect_to_index(address, WhenLost::kTryAgain)),
      state_(read_postgres_state(*connection_)),
      catalog_(*connection_),
      nearest_(*connection_) {}

bool PostgresReader::refresh() {
  PostgresIndexState now = read_postgres_state(*connection_);
  if (now.version == state_.version) return false;
  state_ = std::move(now);
  nearest_.refresh();
  has_quality_.reset();
  return true;
}

bool PostgresReader::has_quality() const {
  if (!(state_.info.inverse_temperature > 0)) return false;
  if (!has_quality_) {
    const auto any =
        connection_->query("SELECT EXISTS(SELECT FROM vectors WHERE quality IS NOT NULL)::int4");
    has_quality_ = any.number(0, 0) != 0;
  }
  return *has_quality_;
}

int64_t PostgresReader::searched(SearchUnit unit) const {
  if (unit == SearchUnit::kBoth) return state_.vectors;
  return unit == SearchUnit::kPicture ? state_.pictures : state_.vectors - state_.pictures;
}

std::vector<Nearest> PostgresReader::nearest(SearchUnit unit, SearchScore score,
                                             std::span<const std::vector<float>> queries,
                                             int64_t candidates) const {
  NearestAsk ask{.unit = unit, .candidates = candidates, .all = searched(unit)};
  if (score == SearchScore::kQuality && unit != SearchUnit::kPicture && has_quality())
    ask.inverse_temperature = state_.info.inverse_temperature;
  std::vector<Nearest> found;
  for (const auto& query : queries) found.push_back(nearest_.nearest(query, ask));
  return found;
}

std::vector<PictureRows> PostgresReader::rows_of(std::span<const int64_t> pictures) const {
  if (pictures.empty()) return {};
  const auto rows = connection_->query(
      "SELECT picture, region, x0, y0, x1, y1, vector, quality FROM vectors "
      "WHERE picture = ANY($1::int8[]) ORDER BY picture, region",
      PostgresValues().numbers(pictures));
  std::unordered_map<int64_t, PictureRows> found;
  for (int64_t row = 0; row < rows.count(); ++row) {
    PictureRows& picture = found[rows.number(row, 0)];
    picture.picture = rows.number(row, 0);
    const Box box{rows.real(row, 2), rows.real(row, 3), rows.real(row, 4), rows.real(row, 5)};
    picture.rows.push_back({rows.number(row, 1), box, read_half_vector(rows.bytes(row, 6)),
                            rows.real_or_null(row, 7)});
  }
  std::vector<PictureRows> ordered;
  for (const int64_t id : pictures) {
    const auto at = found.find(id);
    if (at != found.end()) ordered.push_back(at->second);
  }
  return ordered;
}

Json PostgresReader::storage() const {
  const PostgresGraphs& graphs = nearest_.graphs();
  const auto versions = connection_->query(
      "SELECT current_setting('server_version'), "
      "(SELECT extversion FROM pg_extension WHERE extname = 'vector')");
  Json json;
  json["postgresql"] = versions.text(0, 0);
  json["pgvector"] = versions.text(0, 1);
  json["hnsw_of_pictures"] = graphs.pictures;
  json["hnsw_of_regions"] = graphs.regions;
  json["bytes_on_disk"] = postgres_bytes(*connection_);
  return json;
}

std::unique_ptr<IndexStore> open_postgres(const std::string& place) {
  return std::make_unique<PostgresReader>(parse_postgres_address(place));
}

}  // namespace opencloc

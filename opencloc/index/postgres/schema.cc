#include "opencloc/index/postgres/schema.h"

#include <vector>

#include "opencloc/base/error.h"
#include "opencloc/base/json.h"
#include "opencloc/index/postgres/postgres.h"

namespace opencloc {
namespace {

constexpr int64_t kWidestHalfVector = 16'000;  // pgvector's limit
constexpr const char* kOldestPgvector = "0.8.0";
constexpr const char* kMendPgvector =
    "install it on the server: the package postgresql-NN-pgvector of apt.postgresql.org or of "
    "Debian 13 (Debian 12 has none)";

// The vector is big and goes with its row; `draw` is a random number that follows from picture and
// region, and orders the sample of scores (nearest.h).
const char* const kIndexesTable = R"(
CREATE TABLE IF NOT EXISTS opencloc.indexes(
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE,
    info text NOT NULL, next_picture bigint NOT NULL DEFAULT 1, version bigint NOT NULL DEFAULT 0,
    pictures bigint NOT NULL DEFAULT 0, vectors bigint NOT NULL DEFAULT 0))";

std::vector<std::string> tables_of(int64_t width) {
  return {
      "CREATE TABLE pictures(id bigint PRIMARY KEY, digest text NOT NULL UNIQUE, "
      "width bigint NOT NULL, height bigint NOT NULL, rows bigint NOT NULL, caption text NOT NULL)",
      // Names may be longer than a row of a btree.
      "CREATE TABLE names(number bigint GENERATED ALWAYS AS IDENTITY, name bytea NOT NULL, "
      "picture bigint NOT NULL, sample bigint NOT NULL, bytes bigint NOT NULL, "
      "modified_ns bigint NOT NULL)",
      "CREATE UNIQUE INDEX names_by_name ON names(sha256(name))",
      "CREATE INDEX names_by_picture ON names(picture, number)",
      "CREATE TABLE texts(picture bigint NOT NULL, region integer NOT NULL, text text NOT NULL, "
      "PRIMARY KEY(picture, region))",
      "CREATE TABLE vectors(picture bigint NOT NULL, region integer NOT NULL, "
      "draw integer NOT NULL, x0 real NOT NULL, y0 real NOT NULL, x1 real NOT NULL, "
      "y1 real NOT NULL, vector halfvec(" +
          std::to_string(width) + ") NOT NULL, quality real, PRIMARY KEY(picture, region))",
      "CREATE INDEX sample_of_pictures ON vectors(draw) WHERE region = 0",
      "CREATE INDEX sample_of_regions ON vectors(draw) WHERE region > 0",
  };
}

std::string schema_of(const PostgresAddress& address) { return "opencloc_" + address.index; }

// "0.8.5" as numbers that compare.
std::vector<int64_t> version_numbers(const std::string& text) {
  std::vector<int64_t> numbers(1, 0);
  for (const char c : text) {
    if (c == '.') numbers.push_back(0);
    if (c >= '0' && c <= '9') numbers.back() = numbers.back() * 10 + (c - '0');
  }
  return numbers;
}

bool offers_pgvector(PostgresConnection& connection) {
  return connection.query("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'").count() >
         0;
}

[[noreturn]] void no_pgvector_on(const std::string& where) {
  throw Error::input("the database server has no pgvector", where, kMendPgvector);
}

void require_pgvector(PostgresConnection& connection) {
  const auto there =
      connection.query("SELECT extversion FROM pg_extension WHERE extname = 'vector'");
  const std::string& where = connection.address().shown;
  if (there.count() == 0) {
    if (!offers_pgvector(connection)) no_pgvector_on(where);
    throw Error::input("pgvector is not switched on in this database", where,
                       "let a superuser run there: CREATE EXTENSION vector");
  }
  const std::string version = there.text(0, 0);
  if (version_numbers(version) < version_numbers(kOldestPgvector)) {
    throw Error::input("pgvector " + version + " is too old, " + kOldestPgvector + " is needed",
                       where, std::string(kMendPgvector) + ", then: ALTER EXTENSION vector UPDATE");
  }
}

bool has_index(PostgresConnection& connection) {
  const auto table = connection.query("SELECT to_regclass('opencloc.indexes') IS NOT NULL");
  if (table.bytes(0, 0) != std::string_view("\1", 1)) return false;
  const auto line = connection.query("SELECT 1 FROM opencloc.indexes WHERE name = $1::text",
                                     PostgresValues().text(connection.address().index));
  return line.count() > 0;
}

// Plain names mean the index's tables and pgvector's types, wherever the extension lies. `LIMIT $2`
// must be known to the planner, or it may not take the HNSW index: no generic plans.
void see_tables(PostgresConnection& connection) {
  connection.query(
      "SELECT set_config('search_path', quote_ident($1::text) || ', ' || quote_ident(n.nspname), "
      "false), set_config('plan_cache_mode', 'force_custom_plan', false), "
      "set_config('hnsw.iterative_scan', 'relaxed_order', false) "
      "FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace "
      "WHERE e.extname = 'vector'",
      PostgresValues().text(schema_of(connection.address())));
}

// Switches pgvector on where this user may.
void make_sure_of_pgvector(PostgresConnection& connection) {
  const auto there = connection.query("SELECT 1 FROM pg_extension WHERE extname = 'vector'");
  const auto may =
      connection.query("SELECT 1 FROM pg_roles WHERE rolname = current_user AND rolsuper");
  if (there.count() == 0 && may.count() > 0 && offers_pgvector(connection))
    connection.execute("CREATE EXTENSION IF NOT EXISTS vector");
  require_pgvector(connection);
}

}  // namespace

std::unique_ptr<PostgresConnection> connect_to_index(const PostgresAddress& address,
                                                     WhenLost when_lost) {
  return std::make_unique<PostgresConnection>(
      address, when_lost, [](PostgresConnection& connection) {
        require_pgvector(connection);
        if (!has_index(connection)) {
          throw Error::input("no index of this name in the database", connection.address().shown,
                             "make one with 'opencloc index add', or check the name");
        }
        see_tables(connection);
      });
}

PostgresIndexState read_postgres_state(PostgresConnection& connection) {
  const auto line = connection.query(
      "SELECT id, info, next_picture, version, pictures, vectors FROM opencloc.indexes "
      "WHERE name = $1::text",
      PostgresValues().text(connection.address().index));
  if (line.count() == 0)
    throw Error::input("the index was taken out of the database", connection.address().shown);
  PostgresIndexState state;
  state.id = line.number(0, 0);
  const std::string& where = connection.address().shown;
  const Json info = parse_json(line.bytes(0, 1), where);
  state.info = parse_index_info(info, where);
  if (info.contains("cuts")) state.cuts = parse_cuts(info["cuts"], where);
  state.next_picture = line.number(0, 2);
  state.version = line.number(0, 3);
  state.pictures = line.number(0, 4);
  state.vectors = line.number(0, 5);
  return state;
}

int64_t postgres_bytes(PostgresConnection& connection) {
  return connection
      .query(
          "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::int8 FROM pg_class "
          "WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'")
      .number(0, 0);
}

bool postgres_index_exists(const std::string& place) {
  PostgresConnection connection(parse_postgres_address(place), WhenLost::kTryAgain);
  if (has_index(connection)) return true;
  if (!offers_pgvector(connection)) no_pgvector_on(connection.address().shown);
  return false;
}

void create_postgres_index(const std::string& place, const IndexInfo& info) {
  PostgresConnection connection(parse_postgres_address(place), WhenLost::kFail);
  if (info.width > kWidestHalfVector) {
    throw Error::input("vectors of " + std::to_string(info.width) + " numbers, pgvector takes " +
                           std::to_string(kWidestHalfVector),
                       connection.address().shown, "keep this index in a folder");
  }
  make_sure_of_pgvector(connection);
  PostgresTransaction change(connection);
  // Two that make their first index at once would both make the schema.
  connection.execute("SELECT pg_advisory_xact_lock(hashtext('opencloc.indexes'))");
  connection.execute("CREATE SCHEMA IF NOT EXISTS opencloc");
  connection.execute(kIndexesTable);
  const auto made = connection.query(
      "INSERT INTO opencloc.indexes(name, info) VALUES($1::text, $2::text) "
      "ON CONFLICT DO NOTHING RETURNING id",
      PostgresValues().text(connection.address().index).text(dump_json(index_info_json(info))));
  if (made.count() == 0) {
    throw Error::input("another process has just made an index of this name",
                       connection.address().shown, "run it again");
  }
  connection.execute("CREATE SCHEMA " + connection.quoted(schema_of(connection.address())));
  see_tables(connection);
  for (const std::string& table : tables_of(info.width)) connection.execute(table);
  change.commit();
}

}  // namespace opencloc

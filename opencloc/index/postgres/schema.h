// The tables of indexes in a database, and a connection that sees those of one index.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "opencloc/index/cut.h"
#include "opencloc/index/info.h"
#include "opencloc/index/postgres/connection.h"

namespace opencloc {

// The line of an index in opencloc.indexes.
struct PostgresIndexState {
  int64_t id = 0;
  IndexInfo info;
  std::vector<CalibratedCut> cuts;  // beside the info, under "cuts"
  int64_t next_picture = 1;
  int64_t version = 0;  // another number after every commit
  int64_t pictures = 0, vectors = 0;
};

// A connection on which the index's tables go by their plain names. Throws Error (input) when the
// database has no pgvector or no such index.
std::unique_ptr<PostgresConnection> connect_to_index(const PostgresAddress& address,
                                                     WhenLost when_lost);
PostgresIndexState read_postgres_state(PostgresConnection& connection);

// What tables and HNSW indexes take on disk, in bytes.
int64_t postgres_bytes(PostgresConnection& connection);

}  // namespace opencloc

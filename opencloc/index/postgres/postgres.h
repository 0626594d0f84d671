// Indexes in PostgreSQL with pgvector 0.8 or newer, for collections that outgrow one machine's
// folder. The same hits as a folder's: what differs is how rows are found (nearest.h).
//
// opencloc.indexes          a line per index: index.json, and how many rows there are
// opencloc_NAME.pictures    as a folder's catalog has them: content, size, caption
// opencloc_NAME.names       bytea: names are bytes, in any encoding
// opencloc_NAME.texts       of regions
// opencloc_NAME.vectors     halfvec(E), with picture, region and box
//
// What was added together becomes valid in one transaction. The writer holds an advisory lock,
// which goes with its connection: a writer that is killed leaves nothing behind.
#pragma once

#include <memory>
#include <string>

#include "opencloc/index/store.h"

namespace opencloc {

// See store.h. Throw Error (input) when the server has no pgvector, saying how to get it.
bool postgres_index_exists(const std::string& place);
void create_postgres_index(const std::string& place, const IndexInfo& info);
std::unique_ptr<IndexStore> open_postgres(const std::string& place);
std::unique_ptr<IndexStoreWriter> open_postgres_writer(const std::string& place);

}  // namespace opencloc

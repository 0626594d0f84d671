// postgres://USER@HOST:PORT/DB?index=NAME&..., also postgresql://: an index in a database.
// Everything but `index` is for libpq, as its manual says ("Connection URIs"): host, port, sslmode,
// passfile.
#pragma once

#include <string>

namespace opencloc {

struct PostgresAddress {
  std::string connection;  // for libpq
  std::string index;       // a to z, 0 to 9 and _, a letter first, at most 40
  std::string shown;       // for messages: without a password
};

bool is_postgres(const std::string& place);
// Throws Error (input) when no index is named, or with a name of other characters.
PostgresAddress parse_postgres_address(const std::string& place);

}  // namespace opencloc

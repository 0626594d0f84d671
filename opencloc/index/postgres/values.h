// Values as PostgreSQL sends and takes them in binary: big-endian numbers, arrays, pgvector's
// halfvec, and the stream of COPY ... (FORMAT binary).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace opencloc {

// The parameters $1, $2, ... of a statement. Its text says their types: $1::int8, $2::bytea[].
class PostgresValues {
 public:
  PostgresValues& number(int64_t value);                            // int8
  PostgresValues& text(std::string_view value);                     // text; see postgres_text()
  PostgresValues& bytes(std::string_view value);                    // bytea
  PostgresValues& numbers(std::span<const int64_t> values);         // int8[]
  PostgresValues& texts(std::span<const std::string> values);       // text[]
  PostgresValues& many_bytes(std::span<const std::string> values);  // bytea[]
  PostgresValues& half_vector(std::span<const float> values);       // halfvec
  const std::vector<std::string>& all() const { return values_; }

 private:
  std::vector<std::string> values_;
};

// Rows for COPY ... FROM STDIN (FORMAT binary).
class PostgresCopy {
 public:
  PostgresCopy();
  void begin_row(int16_t columns);
  void number(int64_t value);        // int8
  void small_number(int32_t value);  // int4
  void real(float value);            // float4
  void null();
  void text(std::string_view value);  // text, bytea
  void half_vector(std::span<const float> values);
  // With the end of the stream.
  std::string take();

 private:
  std::string bytes_;
};

// A value of a result.
int64_t read_number(std::string_view bytes);  // int2, int4, int8
float read_real(std::string_view bytes);      // float4
std::vector<float> read_half_vector(std::string_view bytes);

// What a column of type text takes: bytes that are not UTF-8, and zeros, become U+FFFD.
std::string postgres_text(std::string_view text);

}  // namespace opencloc

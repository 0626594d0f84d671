#include "opencloc/index/postgres/values.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "opencloc/base/text_file.h"
#include "opencloc/kernels/scan/fp16.h"

namespace opencloc {
namespace {

constexpr uint32_t kInt8Type = 20, kByteaType = 17, kTextType = 25;  // pg_type.oid, fixed for good
constexpr std::string_view kReplacement = "\xef\xbf\xbd";            // U+FFFD

template <typename T>
void put(T value, std::string& to) {
  for (int shift = 8 * (static_cast<int>(sizeof value) - 1); shift >= 0; shift -= 8)
    to += static_cast<char>(static_cast<uint8_t>(value >> shift));
}

void put_sized(std::string_view bytes, std::string& to) {
  put(static_cast<uint32_t>(bytes.size()), to);
  to += bytes;
}

// One-dimensional; its elements follow, each with its size.
std::string array_head(uint32_t type, size_t count) {
  std::string bytes;
  put(uint32_t{count > 0}, bytes);  // dimensions
  put(uint32_t{0}, bytes);          // no nulls
  put(type, bytes);
  if (count == 0) return bytes;
  put(static_cast<uint32_t>(count), bytes);
  put(uint32_t{1}, bytes);  // the first is number 1
  return bytes;
}

std::string array_of(uint32_t type, std::span<const std::string> values) {
  std::string bytes = array_head(type, values.size());
  for (const std::string& value : values) put_sized(value, bytes);
  return bytes;
}

std::string half_vector_bytes(std::span<const float> values) {
  std::string bytes;
  put(static_cast<uint16_t>(values.size()), bytes);
  put(uint16_t{0}, bytes);
  for (const float value : values) put(kernels::round_to_fp16(value), bytes);
  return bytes;
}

uint64_t big_endian(std::string_view bytes) {
  uint64_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<uint8_t>(byte);
  return value;
}

}  // namespace

PostgresValues& PostgresValues::number(int64_t value) {
  put(static_cast<uint64_t>(value), values_.emplace_back());
  return *this;
}
PostgresValues& PostgresValues::text(std::string_view value) {
  values_.push_back(postgres_text(value));
  return *this;
}
PostgresValues& PostgresValues::bytes(std::string_view value) {
  values_.emplace_back(value);
  return *this;
}
PostgresValues& PostgresValues::numbers(std::span<const int64_t> values) {
  std::string bytes = array_head(kInt8Type, values.size());
  for (const int64_t value : values) {
    put(uint32_t{8}, bytes);
    put(static_cast<uint64_t>(value), bytes);
  }
  values_.push_back(std::move(bytes));
  return *this;
}
PostgresValues& PostgresValues::texts(std::span<const std::string> values) {
  std::vector<std::string> clean;
  for (const std::string& value : values) clean.push_back(postgres_text(value));
  values_.push_back(array_of(kTextType, clean));
  return *this;
}
PostgresValues& PostgresValues::many_bytes(std::span<const std::string> values) {
  values_.push_back(array_of(kByteaType, values));
  return *this;
}
PostgresValues& PostgresValues::half_vector(std::span<const float> values) {
  values_.push_back(half_vector_bytes(values));
  return *this;
}

PostgresCopy::PostgresCopy() : bytes_("PGCOPY\n\377\r\n\0", 11) {
  put(uint64_t{0}, bytes_);  // flags, and nothing more in the header
}
void PostgresCopy::begin_row(int16_t columns) { put(static_cast<uint16_t>(columns), bytes_); }
void PostgresCopy::number(int64_t value) {
  put(uint32_t{8}, bytes_);
  put(static_cast<uint64_t>(value), bytes_);
}
void PostgresCopy::small_number(int32_t value) {
  put(uint32_t{4}, bytes_);
  put(static_cast<uint32_t>(value), bytes_);
}
void PostgresCopy::real(float value) { small_number(std::bit_cast<int32_t>(value)); }
void PostgresCopy::null() { put(uint32_t{0xffffffff}, bytes_); }
void PostgresCopy::text(std::string_view value) { put_sized(value, bytes_); }
void PostgresCopy::half_vector(std::span<const float> values) {
  put_sized(half_vector_bytes(values), bytes_);
}
std::string PostgresCopy::take() {
  put(uint16_t{0xffff}, bytes_);
  return std::move(bytes_);
}

int64_t read_number(std::string_view bytes) {
  const uint64_t value = big_endian(bytes);
  if (bytes.size() == 2) return static_cast<int16_t>(value);
  if (bytes.size() == 4) return static_cast<int32_t>(value);
  return static_cast<int64_t>(value);
}

float read_real(std::string_view bytes) {
  return std::bit_cast<float>(static_cast<uint32_t>(big_endian(bytes)));
}

std::vector<float> read_half_vector(std::string_view bytes) {
  std::vector<float> values;
  values.reserve(bytes.size() / 2);
  for (size_t at = 4; at + 2 <= bytes.size(); at += 2) {
    const auto high = static_cast<uint8_t>(bytes[at]), low = static_cast<uint8_t>(bytes[at + 1]);
    values.push_back(kernels::float_of(static_cast<uint16_t>(high << 8 | low)));
  }
  return values;
}

std::string postgres_text(std::string_view text) {
  std::string clean;
  for (;;) {
    const size_t bad = std::min(find_bad_utf8(text), text.find('\0'));
    clean += text.substr(0, bad);
    if (bad == text.npos) return clean;
    clean += kReplacement;
    text.remove_prefix(bad + 1);
  }
}

}  // namespace opencloc

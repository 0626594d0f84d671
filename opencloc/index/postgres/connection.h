// A connection to PostgreSQL. Statements are prepared once and take their values as parameters;
// nothing is ever written into their text but names that were checked. The one place that knows
// libpq.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "opencloc/index/postgres/address.h"
#include "opencloc/index/postgres/values.h"

namespace opencloc {

// A result, by row and column from 0.
class PostgresRows {
 public:
  explicit PostgresRows(std::shared_ptr<void> result) : result_(std::move(result)) {}
  int64_t count() const;
  // Rows that an INSERT, UPDATE or DELETE without RETURNING has changed.
  int64_t changed() const;
  std::string_view bytes(int64_t row, int column) const;
  int64_t number(int64_t row, int column) const { return read_number(bytes(row, column)); }
  float real(int64_t row, int column) const { return read_real(bytes(row, column)); }
  std::optional<float> real_or_null(int64_t row, int column) const {
    return bytes(row, column).empty() ? std::nullopt : std::optional(real(row, column));
  }
  std::string text(int64_t row, int column) const { return std::string(bytes(row, column)); }

 private:
  std::shared_ptr<void> result_;
};

// What happens when the server is gone: a reader connects again and asks once more, a writer, whose
// lock went with the connection, ends.
enum class WhenLost { kTryAgain, kFail };

// Every call throws Error (failed) with the server's reason, or with what became of the connection.
// Not thread-safe.
class PostgresConnection {
 public:
  // `prepare_session` runs after every connecting, before anything else.
  PostgresConnection(PostgresAddress address, WhenLost when_lost,
                     std::function<void(PostgresConnection&)> prepare_session = {});
  ~PostgresConnection();
  PostgresConnection(const PostgresConnection&) = delete;
  PostgresConnection& operator=(const PostgresConnection&) = delete;

  const PostgresAddress& address() const { return address_; }
  PostgresRows query(const std::string& sql, const PostgresValues& values = {});
  // A statement that is not worth preparing, or cannot be: BEGIN, CREATE, VACUUM.
  void execute(const std::string& sql);
  // COPY ... FROM STDIN (FORMAT binary).
  void copy(const std::string& sql, std::string_view bytes);
  // A name as SQL takes it, in quotes.
  std::string quoted(const std::string& name);

 private:
  struct Link;
  void connect();
  // None when the connection was lost.
  std::shared_ptr<void> try_query(const std::string& sql, const PostgresValues& values);
  [[noreturn]] void lost();
  bool may_try_again() const;

  const PostgresAddress address_;
  const WhenLost when_lost_;
  const std::function<void(PostgresConnection&)> prepare_session_;
  bool preparing_session_ = false;
  std::unique_ptr<Link> link_;
};

// BEGIN ... COMMIT: all of it or nothing.
class PostgresTransaction {
 public:
  explicit PostgresTransaction(PostgresConnection& connection);
  ~PostgresTransaction();
  PostgresTransaction(const PostgresTransaction&) = delete;
  PostgresTransaction& operator=(const PostgresTransaction&) = delete;
  void commit();

 private:
  PostgresConnection& connection_;
  bool open_ = true;
};

}  // namespace opencloc

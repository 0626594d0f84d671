#include "opencloc/index/postgres/connection.h"

#include <algorithm>
#include <unordered_map>
#include <utility>
#include <vector>

#include <libpq-fe.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/base/host_name.h"
#include "opencloc/base/log.h"

namespace opencloc {
namespace {

constexpr size_t kCopyChunk = size_t{1} << 20;
constexpr int kBinary = 1;

PGresult* result_of(const std::shared_ptr<void>& result) {
  return static_cast<PGresult*>(result.get());
}

std::shared_ptr<void> owned(PGresult* result) {
  return {result, [](void* plain) { PQclear(static_cast<PGresult*>(plain)); }};
}

// libpq's messages have several lines.
std::string on_one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
  while (!text.empty() && text.back() == ' ') text.pop_back();
  const auto twice = [](char a, char b) { return a == ' ' && b == ' '; };
  text.erase(std::unique(text.begin(), text.end(), twice), text.end());
  return text;
}

// What pgvector says of a build that outgrows its memory, and the server's warnings.
void hear_notice(void*, const PGresult* result) {
  const char* severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
  const char* text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  if (severity == nullptr || text == nullptr) return;
  const std::string message(text);
  if (std::string_view(severity) == "WARNING" || message.starts_with("hnsw"))
    log::warn("PostgreSQL: {}", on_one_line(message));
}

std::string field_of(const PGresult* result, int field) {
  const char* text = PQresultErrorField(result, field);
  return text == nullptr ? std::string() : std::string(text);
}

bool is_sound(const PGresult* result) {
  const auto status = PQresultStatus(result);
  return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_COPY_IN;
}

}  // namespace

struct PostgresConnection::Link {
  PGconn* connection = nullptr;
  std::unordered_map<std::string, std::string> prepared;  // text -> its name

  explicit Link(PGconn* plain) : connection(plain) {}
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() { PQfinish(connection); }

  // The server ends connections with class 57P when it stops, is killed, or is not there yet.
  bool is_lost(const PGresult* result) const {
    if (PQstatus(connection) == CONNECTION_BAD) return true;
    return result != nullptr && field_of(result, PG_DIAG_SQLSTATE).starts_with("57P");
  }
  bool in_transaction() const {
    const auto status = PQtransactionStatus(connection);
    return status != PQTRANS_IDLE && status != PQTRANS_UNKNOWN;  // unknown: there is no connection
  }

  [[noreturn]] void fail(const PGresult* result, const std::string& where) const {
    const std::string state = field_of(result, PG_DIAG_SQLSTATE);
    std::string reason = on_one_line(field_of(result, PG_DIAG_MESSAGE_PRIMARY));
    if (reason.empty()) reason = on_one_line(PQerrorMessage(connection));
    if (state == "42501") {
      throw Error::failed("the database does not allow it (" + reason + ")", where,
                          "ask its owner for the right, or use another user");
    }
    if (state.starts_with("42") ||
        state.starts_with("3F")) {  // tables that are not as we made them
      throw Error::input("not a sound index of this version (" + reason + ")", where,
                         "restore the database, or make the index anew");
    }
    throw Error::failed("the database refuses (" + reason + ")", where,
                        "see the server's log; check its free space");
  }
};

int64_t PostgresRows::count() const { return PQntuples(result_of(result_)); }

int64_t PostgresRows::changed() const {
  return std::strtoll(PQcmdTuples(result_of(result_)), nullptr, 10);
}

std::string_view PostgresRows::bytes(int64_t row, int column) const {
  const auto at = static_cast<int>(row);
  return {PQgetvalue(result_of(result_), at, column),
          static_cast<size_t>(PQgetlength(result_of(result_), at, column))};
}

PostgresConnection::PostgresConnection(PostgresAddress address, WhenLost when_lost,
                                       std::function<void(PostgresConnection&)> prepare_session)
    : address_(std::move(address)),
      when_lost_(when_lost),
      prepare_session_(std::move(prepare_session)) {
  connect();
}

PostgresConnection::~PostgresConnection() = default;

void PostgresConnection::connect() {
  char* reason = nullptr;
  PQconninfoOption* given = PQconninfoParse(address_.connection.c_str(), &reason);
  if (given == nullptr) {
    PQfreemem(reason);  // not shown: it may quote a password
    throw Error::input("not an address of a database", address_.shown,
                       "write postgres://USER@HOST/DB?index=NAME; special characters of a password "
                       "as %XX");
  }
  std::vector<std::pair<std::string, std::string>> settings = {
      {"connect_timeout", "10"},  // seconds; a host that does not answer would hold us for minutes
      {"fallback_application_name",
       "opencloc, process " + std::to_string(::getpid()) + " on " + host_name()}};
  for (const PQconninfoOption* option = given; option->keyword != nullptr; ++option) {
    if (option->val == nullptr) continue;
    std::erase_if(settings, [&](const auto& own) { return own.first == option->keyword; });
    settings.emplace_back(option->keyword, option->val);
  }
  PQconninfoFree(given);
  settings.emplace_back("client_encoding", "UTF8");
  std::vector<const char*> keys, values;
  for (const auto& [key, value] : settings) {
    keys.push_back(key.c_str());
    values.push_back(value.c_str());
  }
  keys.push_back(nullptr);
  values.push_back(nullptr);
  link_ = std::make_unique<Link>(PQconnectdbParams(keys.data(), values.data(), 0));
  if (PQstatus(link_->connection) != CONNECTION_OK) {
    throw Error::failed(
        "the database cannot be reached (" + on_one_line(PQerrorMessage(link_->connection)) + ")",
        address_.shown, "start the server, or check host, port, user and password");
  }
  PQsetNoticeReceiver(link_->connection, hear_notice, nullptr);
  if (!prepare_session_) return;
  preparing_session_ = true;
  struct Done {
    bool& flag;
    ~Done() { flag = false; }
  } const done{preparing_session_};
  prepare_session_(*this);
}

bool PostgresConnection::may_try_again() const {
  return when_lost_ == WhenLost::kTryAgain && !preparing_session_;
}

void PostgresConnection::lost() {
  throw Error::failed(
      "the connection to the database was lost (" + on_one_line(PQerrorMessage(link_->connection)) +
          ")",
      address_.shown,
      "run it again when the server is there; what was committed before is not touched");
}

std::shared_ptr<void> PostgresConnection::try_query(const std::string& sql,
                                                    const PostgresValues& values) {
  std::string& name = link_->prepared[sql];
  if (name.empty()) {
    const std::string wanted = "opencloc_" + std::to_string(link_->prepared.size());
    const auto answer =
        owned(PQprepare(link_->connection, wanted.c_str(), sql.c_str(), 0, nullptr));
    if (link_->is_lost(result_of(answer))) return nullptr;
    if (!is_sound(result_of(answer))) link_->fail(result_of(answer), address_.shown);
    name = wanted;
  }
  std::vector<const char*> pointers;
  std::vector<int> sizes, formats;
  for (const std::string& value : values.all()) {
    pointers.push_back(value.data());
    sizes.push_back(static_cast<int>(value.size()));
    formats.push_back(kBinary);
  }
  auto answer =
      owned(PQexecPrepared(link_->connection, name.c_str(), static_cast<int>(pointers.size()),
                           pointers.data(), sizes.data(), formats.data(), kBinary));
  if (is_sound(result_of(answer))) return answer;
  if (link_->is_lost(result_of(answer))) return nullptr;
  link_->fail(result_of(answer), address_.shown);
}

PostgresRows PostgresConnection::query(const std::string& sql, const PostgresValues& values) {
  const bool within = link_->in_transaction();
  auto answer = try_query(sql, values);
  if (!answer && may_try_again() && !within) {
    log::info("connecting to {} again", address_.shown);
    connect();
    answer = try_query(sql, values);
  }
  if (!answer) lost();
  return PostgresRows(std::move(answer));
}

void PostgresConnection::execute(const std::string& sql) {
  const auto answer = owned(PQexec(link_->connection, sql.c_str()));
  if (is_sound(result_of(answer))) return;
  if (link_->is_lost(result_of(answer))) lost();
  link_->fail(result_of(answer), address_.shown);
}

void PostgresConnection::copy(const std::string& sql, std::string_view bytes) {
  execute(sql);
  for (size_t at = 0; at < bytes.size(); at += kCopyChunk) {
    const auto chunk = bytes.substr(at, kCopyChunk);
    if (PQputCopyData(link_->connection, chunk.data(), static_cast<int>(chunk.size())) != 1) lost();
  }
  if (PQputCopyEnd(link_->connection, nullptr) != 1) lost();
  for (auto answer = owned(PQgetResult(link_->connection)); answer;
       answer = owned(PQgetResult(link_->connection))) {
    if (is_sound(result_of(answer))) continue;
    if (link_->is_lost(result_of(answer))) lost();
    link_->fail(result_of(answer), address_.shown);
  }
}

std::string PostgresConnection::quoted(const std::string& name) {
  char* plain = PQescapeIdentifier(link_->connection, name.data(), name.size());
  if (plain == nullptr) lost();
  std::string text(plain);
  PQfreemem(plain);
  return text;
}

PostgresTransaction::PostgresTransaction(PostgresConnection& connection) : connection_(connection) {
  connection_.execute("BEGIN");
}

PostgresTransaction::~PostgresTransaction() {
  if (!open_) return;
  try {
    connection_.execute("ROLLBACK");
  } catch (const Error&) {  // the server is gone, and with it what was not committed
  }
}

void PostgresTransaction::commit() {
  connection_.execute("COMMIT");
  open_ = false;
}

}  // namespace opencloc

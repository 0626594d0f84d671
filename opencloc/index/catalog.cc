#include "opencloc/index/catalog.h"

#include <algorithm>
#include <functional>
#include <unordered_map>
#include <utility>

#include <sqlite3.h>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

constexpr int64_t kCatalogFormat = 1;
constexpr int kWaitForWriter = 10'000;  // milliseconds, for a commit of another process to end

constexpr const char* kSchema = R"(
CREATE TABLE pictures(id INTEGER PRIMARY KEY AUTOINCREMENT, digest TEXT NOT NULL UNIQUE,
    width INTEGER NOT NULL, height INTEGER NOT NULL, rows INTEGER NOT NULL, caption TEXT NOT NULL);
CREATE TABLE names(name TEXT NOT NULL UNIQUE, picture INTEGER NOT NULL, sample INTEGER NOT NULL,
    bytes INTEGER NOT NULL, modified_ns INTEGER NOT NULL);
CREATE INDEX names_of_picture ON names(picture);
CREATE TABLE texts(picture INTEGER NOT NULL, region INTEGER NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY(picture, region)) WITHOUT ROWID;
CREATE TABLE segments(id INTEGER PRIMARY KEY AUTOINCREMENT, rows INTEGER NOT NULL,
    checksum INTEGER NOT NULL);
CREATE TABLE removed(picture INTEGER PRIMARY KEY);
)";

}  // namespace

// A connection and its prepared statements.
struct Catalog::Connection {
  sqlite3* db = nullptr;
  std::string path;
  std::unordered_map<std::string, sqlite3_stmt*> prepared;

  Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { close(); }

  void close() {
    for (const auto& [sql, statement] : prepared) sqlite3_finalize(statement);
    prepared.clear();
    sqlite3_close(db);
    db = nullptr;
  }

  [[noreturn]] void fail(int code) const {
    const std::string reason = db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(code);
    const int kind = code & 0xff;
    if (kind == SQLITE_NOTADB || kind == SQLITE_CORRUPT || kind == SQLITE_ERROR) {
      throw Error::input("not a sound catalog of an index (" + reason + ")", path,
                         "restore the file, or make the index anew");
    }
    throw Error::failed("the catalog of the index cannot be used (" + reason + ")", path,
                        kind == SQLITE_BUSY ? "try again when the other program has ended"
                                            : "check rights and free space");
  }
  void check(int code) const {
    if (code != SQLITE_OK) fail(code);
  }

  // With `frozen`, a file in a folder that cannot be written: no other process may change it.
  void open(const std::filesystem::path& file, int flags, bool frozen) {
    path = file.string();
    std::string uri = "file:";
    for (const char c : std::filesystem::absolute(file).string()) {
      const bool special = c == '%' || c == '?' || c == '#';
      if (special) {
        const char* digits = "0123456789abcdef";
        const auto byte = static_cast<unsigned char>(c);
        uri += {'%', digits[byte >> 4], digits[byte & 15]};
      } else {
        uri += c;
      }
    }
    if (frozen) uri += "?immutable=1";
    const int code = sqlite3_open_v2(uri.c_str(), &db, flags | SQLITE_OPEN_URI, nullptr);
    if (code != SQLITE_OK) fail(code);
    sqlite3_busy_timeout(db, kWaitForWriter);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  }
  void execute(const char* sql) const { check(sqlite3_exec(db, sql, nullptr, nullptr, nullptr)); }

  sqlite3_stmt* prepare(const std::string& sql) {
    sqlite3_stmt*& statement = prepared[sql];
    if (statement == nullptr)
      check(sqlite3_prepare_v2(db, sql.c_str(), static_cast<int>(sql.size()), &statement, nullptr));
    return statement;
  }
};

namespace {

// One run of a statement. Values are bound and read in order.
class Query {
 public:
  // `fail` throws what became of the connection.
  Query(sqlite3_stmt* statement, std::function<void(int code)> fail)
      : statement_(statement), fail_(std::move(fail)) {}
  ~Query() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
  }
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  Query& bind(int64_t value) {
    check(sqlite3_bind_int64(statement_, ++bound_, value));
    return *this;
  }
  Query& bind(const std::string& text) {
    check(sqlite3_bind_text64(statement_, ++bound_, text.data(), text.size(), SQLITE_TRANSIENT,
                              SQLITE_UTF8));
    return *this;
  }
  // False behind the last row.
  bool step() {
    read_ = 0;
    const int code = sqlite3_step(statement_);
    if (code == SQLITE_ROW) return true;
    if (code != SQLITE_DONE) fail_(code);
    return false;
  }
  void run() {
    while (step()) {
    }
  }
  int64_t number() { return sqlite3_column_int64(statement_, read_++); }
  std::string text() {
    const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, read_));
    const auto size = static_cast<size_t>(sqlite3_column_bytes(statement_, read_++));
    return bytes == nullptr ? std::string() : std::string(bytes, size);
  }

 private:
  void check(int code) const {
    if (code != SQLITE_OK) fail_(code);
  }
  sqlite3_stmt* statement_;
  std::function<void(int code)> fail_;
  int bound_ = 0, read_ = 0;
};

// Of a connection, which has no name outside Catalog.
template <typename Connection>
Query query(Connection& connection, const std::string& sql) {
  return Query(connection.prepare(sql), [&connection](int code) { connection.fail(code); });
}

constexpr const char* kPictureColumns = "id, digest, width, height, rows, caption";
CatalogPicture read_picture(Query& row) {
  CatalogPicture picture;
  picture.id = row.number();
  picture.digest = row.text();
  picture.width = row.number();
  picture.height = row.number();
  picture.rows = row.number();
  picture.caption = row.text();
  return picture;
}

constexpr const char* kNameColumns = "name, picture, sample, bytes, modified_ns";
PictureName read_name(Query& row) {
  PictureName name;
  name.name = row.text();
  name.picture = row.number();
  name.sample = row.number();
  name.bytes = row.number();
  name.modified_ns = row.number();
  return name;
}

}  // namespace

void Catalog::create(const std::filesystem::path& path) {
  Connection connection;
  connection.open(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, false);
  connection.execute("PRAGMA journal_mode = WAL");
  connection.execute(("PRAGMA user_version = " + std::to_string(kCatalogFormat)).c_str());
  connection.execute(kSchema);
}

Catalog::Catalog(const std::filesystem::path& path, Mode mode)
    : connection_(std::make_unique<Connection>()) {
  if (!std::filesystem::exists(path)) {
    throw Error::input("the index has no catalog", path.string(),
                       "restore the file, or make the index anew");
  }
  const int flags = mode == Mode::kWrite ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY;
  connection_->open(path, flags, false);
  int code = sqlite3_exec(connection_->db, "SELECT 1 FROM segments", nullptr, nullptr, nullptr);
  if (code == SQLITE_CANTOPEN && mode == Mode::kRead) {  // no place for the shared memory of a log
    connection_->close();
    connection_->open(path, flags, true);
    code = sqlite3_exec(connection_->db, "SELECT 1 FROM segments", nullptr, nullptr, nullptr);
  }
  connection_->check(code);
  Query version = query(*connection_, "PRAGMA user_version");
  const int64_t format = version.step() ? version.number() : 0;
  if (format != kCatalogFormat) {
    throw Error::input("a catalog of version " + std::to_string(format) + ", this program knows " +
                           std::to_string(kCatalogFormat),
                       path.string(), "use another version of OpenCLOC");
  }
  if (mode == Mode::kWrite) connection_->execute("PRAGMA synchronous = FULL");
}

Catalog::~Catalog() = default;
Catalog::Catalog(Catalog&& other) noexcept = default;

int64_t Catalog::data_version() {
  Query row = query(*connection_, "PRAGMA data_version");
  return row.step() ? row.number() : 0;
}

Catalog::State Catalog::state() {
  State state;
  connection_->execute("BEGIN");
  try {
    // A segment made by compaction holds the oldest pictures and all segments with it are gone, so
    // that the order of the ids is that of the pictures.
    Query segments = query(*connection_, "SELECT id, rows, checksum FROM segments ORDER BY id");
    while (segments.step()) {
      const int64_t id = segments.number(), rows = segments.number();
      state.segments.push_back({id, rows, static_cast<uint32_t>(segments.number())});
    }
    Query removed = query(*connection_, "SELECT picture FROM removed ORDER BY picture");
    while (removed.step()) state.removed.push_back(static_cast<uint32_t>(removed.number()));
  } catch (...) {
    sqlite3_exec(connection_->db, "ROLLBACK", nullptr, nullptr, nullptr);
    throw;
  }
  connection_->execute("COMMIT");
  return state;
}

std::vector<CalibratedCut> Catalog::cuts() {
  // The table comes with the first calibration: programs that know nothing of it read on.
  Query there = query(*connection_, "SELECT 1 FROM sqlite_master WHERE name = 'cuts'");
  if (!there.step()) return {};
  Query row = query(*connection_, "SELECT json FROM cuts");
  if (!row.step()) return {};
  return parse_cuts(parse_json(row.text(), connection_->path), connection_->path);
}

CatalogCounts Catalog::counts() {
  Query row = query(*connection_,
                    "SELECT (SELECT count(*) FROM pictures), (SELECT count(*) FROM names), "
                    "(SELECT coalesce(sum(rows), 0) FROM pictures), (SELECT count(*) FROM texts), "
                    "(SELECT count(*) FROM removed)");
  CatalogCounts counts;
  if (!row.step()) return counts;
  for (int64_t* count :
       {&counts.pictures, &counts.names, &counts.rows, &counts.texts, &counts.removed}) {
    *count = row.number();
  }
  return counts;
}

std::vector<PictureEntry> Catalog::pictures(std::span<const int64_t> ids) {
  if (ids.empty()) return {};
  std::string list;
  for (const int64_t id : ids) list += (list.empty() ? "[" : ",") + std::to_string(id);
  list += ']';
  std::unordered_map<int64_t, PictureEntry> found;
  {
    Query row =
        query(*connection_, std::string("SELECT ") + kPictureColumns +
                                " FROM pictures WHERE id IN (SELECT value FROM json_each(?))");
    row.bind(list);
    while (row.step()) {
      CatalogPicture picture = read_picture(row);
      const int64_t id = picture.id;
      found[id].picture = std::move(picture);
    }
  }
  {
    Query row =
        query(*connection_, std::string("SELECT ") + kNameColumns +
                                " FROM names WHERE picture IN (SELECT value FROM json_each(?)) "
                                "ORDER BY rowid");
    row.bind(list);
    while (row.step()) {
      PictureName name = read_name(row);
      const auto at = found.find(name.picture);
      if (at != found.end()) at->second.names.push_back(std::move(name));
    }
  }
  {
    Query row = query(*connection_,
                      "SELECT picture, region, text FROM texts WHERE picture IN "
                      "(SELECT value FROM json_each(?)) ORDER BY picture, region");
    row.bind(list);
    while (row.step()) {
      const auto at = found.find(row.number());
      const int64_t region = row.number();
      if (at != found.end()) at->second.texts.push_back({region, row.text()});
    }
  }
  std::vector<PictureEntry> entries;
  for (const int64_t id : ids) {
    const auto at = found.find(id);
    if (at != found.end()) entries.push_back(at->second);
  }
  return entries;
}

std::optional<int64_t> Catalog::picture_of_digest(const std::string& digest) {
  Query row = query(*connection_, "SELECT id FROM pictures WHERE digest = ?");
  row.bind(digest);
  if (!row.step()) return std::nullopt;
  return row.number();
}

std::vector<std::string> Catalog::digests() {
  Query row = query(*connection_, "SELECT digest FROM pictures");
  std::vector<std::string> digests;
  while (row.step()) digests.push_back(row.text());
  return digests;
}

std::optional<PictureName> Catalog::find_name(const std::string& name) {
  Query row =
      query(*connection_, std::string("SELECT ") + kNameColumns + " FROM names WHERE name = ?");
  row.bind(name);
  if (!row.step()) return std::nullopt;
  return read_name(row);
}

std::vector<PictureName> Catalog::names() {
  Query row = query(*connection_,
                    std::string("SELECT ") + kNameColumns + " FROM names ORDER BY picture, rowid");
  std::vector<PictureName> names;
  while (row.step()) names.push_back(read_name(row));
  return names;
}

std::vector<CatalogPicture> Catalog::pictures_after(int64_t after, int64_t count) {
  Query row = query(*connection_, std::string("SELECT ") + kPictureColumns +
                                      " FROM pictures WHERE id > ? ORDER BY id LIMIT ?");
  row.bind(after).bind(count);
  std::vector<CatalogPicture> pictures;
  while (row.step()) pictures.push_back(read_picture(row));
  return pictures;
}

int64_t Catalog::next_picture() {
  Query row = query(*connection_, "SELECT seq + 1 FROM sqlite_sequence WHERE name = 'pictures'");
  return row.step() ? row.number() : 1;
}

int64_t Catalog::next_segment() {
  Query row = query(*connection_, "SELECT seq + 1 FROM sqlite_sequence WHERE name = 'segments'");
  return row.step() ? row.number() : 1;
}

void Catalog::check() {
  Query row = query(*connection_, "PRAGMA quick_check(1)");
  const std::string answer = row.step() ? row.text() : "no answer";
  if (answer == "ok") return;
  throw Error::input("the catalog of the index is damaged (" + answer + ")", connection_->path,
                     "restore the file, or make the index anew");
}

Catalog::Change::Change(Catalog& catalog) : catalog_(catalog) {
  catalog_.connection_->execute("BEGIN IMMEDIATE");
}

Catalog::Change::~Change() {
  if (open_) sqlite3_exec(catalog_.connection_->db, "ROLLBACK", nullptr, nullptr, nullptr);
}

void Catalog::Change::add(const CatalogPicture& picture) {
  query(*catalog_.connection_, "INSERT INTO pictures VALUES(?, ?, ?, ?, ?, ?)")
      .bind(picture.id)
      .bind(picture.digest)
      .bind(picture.width)
      .bind(picture.height)
      .bind(picture.rows)
      .bind(picture.caption)
      .run();
}

void Catalog::Change::add_text(int64_t picture, const RegionText& text) {
  query(*catalog_.connection_, "INSERT INTO texts VALUES(?, ?, ?)")
      .bind(picture)
      .bind(text.region)
      .bind(text.text)
      .run();
}

void Catalog::Change::set_name(const PictureName& name) {
  query(*catalog_.connection_, "INSERT OR REPLACE INTO names VALUES(?, ?, ?, ?, ?)")
      .bind(name.name)
      .bind(name.picture)
      .bind(name.sample)
      .bind(name.bytes)
      .bind(name.modified_ns)
      .run();
}

bool Catalog::Change::remove_name(const std::string& name) {
  query(*catalog_.connection_, "DELETE FROM names WHERE name = ?").bind(name).run();
  return sqlite3_changes(catalog_.connection_->db) > 0;
}

bool Catalog::Change::remove_picture(int64_t id) {
  auto& connection = *catalog_.connection_;
  query(connection, "DELETE FROM pictures WHERE id = ?").bind(id).run();
  if (sqlite3_changes(connection.db) == 0) return false;
  query(connection, "DELETE FROM names WHERE picture = ?").bind(id).run();
  query(connection, "DELETE FROM texts WHERE picture = ?").bind(id).run();
  query(connection, "INSERT INTO removed VALUES(?)").bind(id).run();
  return true;
}

int64_t Catalog::Change::remove_nameless() {
  std::vector<int64_t> ids;
  {
    Query row = query(*catalog_.connection_,
                      "SELECT id FROM pictures WHERE id NOT IN (SELECT picture FROM names)");
    while (row.step()) ids.push_back(row.number());
  }
  for (const int64_t id : ids) remove_picture(id);
  return static_cast<int64_t>(ids.size());
}

void Catalog::Change::add_segment(const SegmentEntry& segment) {
  query(*catalog_.connection_, "INSERT INTO segments VALUES(?, ?, ?)")
      .bind(segment.id)
      .bind(segment.rows)
      .bind(int64_t{segment.checksum})
      .run();
}

void Catalog::Change::replace_segments(const std::optional<SegmentEntry>& by) {
  catalog_.connection_->execute("DELETE FROM segments");
  catalog_.connection_->execute("DELETE FROM removed");
  if (by) add_segment(*by);
}

void Catalog::Change::set_cuts(std::span<const CalibratedCut> cuts) {
  catalog_.connection_->execute("CREATE TABLE IF NOT EXISTS cuts(json TEXT NOT NULL)");
  catalog_.connection_->execute("DELETE FROM cuts");
  query(*catalog_.connection_, "INSERT INTO cuts VALUES(?)").bind(dump_json(cuts_json(cuts))).run();
}

void Catalog::Change::commit() {
  catalog_.connection_->execute("COMMIT");
  open_ = false;
}

}  // namespace opencloc

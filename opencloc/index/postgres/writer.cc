#include "opencloc/index/postgres/writer.h"

#include <unordered_map>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/index/postgres/nearest.h"
#include "opencloc/index/postgres/postgres.h"
#include "opencloc/index/segment.h"

namespace opencloc {
namespace {

constexpr int64_t kLockClass = 0x434c4f43;  // "CLOC": the first half of our advisory locks

std::vector<int64_t> numbers_in(const PostgresRows& rows) {
  std::vector<int64_t> numbers;
  for (int64_t row = 0; row < rows.count(); ++row) numbers.push_back(rows.number(row, 0));
  return numbers;
}

// A name that comes twice counts where it came last.
std::vector<PictureName> last_of_each(const std::vector<PictureName>& names) {
  std::unordered_map<std::string, size_t> last;
  for (size_t i = 0; i < names.size(); ++i) last[names[i].name] = i;
  std::vector<PictureName> kept;
  for (size_t i = 0; i < names.size(); ++i) {
    if (last[names[i].name] == i) kept.push_back(names[i]);
  }
  return kept;
}

}  // namespace

PostgresWriter::PostgresWriter(const PostgresAddress& address)
    : connection_(connect_to_index(address, WhenLost::kFail)),
      state_(read_postgres_state(*connection_)),
      catalog_(*connection_) {
  lock();
  state_ = read_postgres_state(*connection_);  // another writer may have ended between the two
}

void PostgresWriter::lock() {
  const auto taken =
      connection_->query("SELECT pg_try_advisory_lock($1::int8::int4, $2::int8::int4)::int4",
                         PostgresValues().number(kLockClass).number(state_.id));
  if (taken.number(0, 0) != 0) return;
  const auto holder = connection_->query(
      "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
      "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 "
      "AND l.classid = $1::int8::oid AND l.objid = $2::int8::oid "
      "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
      PostgresValues().number(kLockClass).number(state_.id));
  throw Error::input("another process is writing the index" +
                         (holder.count() > 0 ? " (" + holder.text(0, 0) + ")" : std::string()),
                     connection_->address().shown, "wait for it; searching is possible meanwhile");
}

bool PostgresWriter::has(const std::string& digest) {
  return pending_.by_digest.contains(digest) || catalog_.picture_of_digest(digest).has_value();
}

void PostgresWriter::add_name(const PictureName& name, const std::string& digest) {
  pending_.add_name(name, digest, catalog_);
}

void PostgresWriter::add(const NewPicture& picture) {
  require_vectors(picture, state_.info.width);
  pending_.add(picture, state_.next_picture++);
  vectors_.push_back(picture);
}

void PostgresWriter::copy_pictures() {
  PostgresCopy pictures;
  for (const CatalogPicture& picture : pending_.pictures) {
    pictures.begin_row(6);
    pictures.number(picture.id);
    pictures.text(postgres_text(picture.digest));
    pictures.number(picture.width);
    pictures.number(picture.height);
    pictures.number(picture.rows);
    pictures.text(postgres_text(picture.caption));
  }
  connection_->copy("COPY pictures FROM STDIN (FORMAT binary)", pictures.take());
  PostgresCopy texts;
  for (const auto& [picture, text] : pending_.texts) {
    texts.begin_row(3);
    texts.number(picture);
    texts.small_number(static_cast<int32_t>(text.region));
    texts.text(postgres_text(text.text));
  }
  connection_->copy("COPY texts FROM STDIN (FORMAT binary)", texts.take());
}

void PostgresWriter::copy_vectors() {
  PostgresCopy rows;
  // Box and quality as a folder would keep them.
  const auto put = [&](int64_t picture, int32_t region, const NewRegion& given) {
    const Box box = box_of(stored_box(given.box));
    rows.begin_row(9);
    rows.number(picture);
    rows.small_number(region);
    rows.small_number(draw_of(picture, region));
    for (const float side : {box.x0, box.y0, box.x1, box.y1}) rows.real(side);
    rows.half_vector(given.vector);
    if (given.quality) {
      rows.real(quality_of(stored_quality(*given.quality)));
    } else {
      rows.null();
    }
  };
  for (size_t i = 0; i < vectors_.size(); ++i) {
    const int64_t id = pending_.pictures[i].id;
    put(id, 0, {{0, 0, 1, 1}, {}, vectors_[i].vector});
    int32_t region = 0;
    for (const NewRegion& next : vectors_[i].regions) put(id, ++region, next);
  }
  connection_->copy("COPY vectors FROM STDIN (FORMAT binary)", rows.take());
}

std::vector<int64_t> PostgresWriter::set_names() {
  std::vector<std::string> names;
  std::vector<int64_t> pictures, samples, bytes, times;
  for (const PictureName& name : last_of_each(pending_.names)) {
    names.push_back(name.name);
    pictures.push_back(name.picture);
    samples.push_back(name.sample);
    bytes.push_back(name.bytes);
    times.push_back(name.modified_ns);
  }
  const auto before = connection_->query(
      "DELETE FROM names WHERE sha256(name) IN (SELECT sha256(n) FROM unnest($1::bytea[]) AS n) "
      "RETURNING picture",
      PostgresValues().many_bytes(names));
  connection_->query(
      "INSERT INTO names(name, picture, sample, bytes, modified_ns) "
      "SELECT n, p, s, b, t FROM unnest($1::bytea[], $2::int8[], $3::int8[], $4::int8[], "
      "$5::int8[]) WITH ORDINALITY AS given(n, p, s, b, t, place) ORDER BY place",
      PostgresValues().many_bytes(names).numbers(pictures).numbers(samples).numbers(bytes).numbers(
          times));
  return numbers_in(before);
}

void PostgresWriter::commit() {
  if (pending_.empty()) return;
  int64_t rows = 0;
  for (const CatalogPicture& picture : pending_.pictures) rows += picture.rows;
  PostgresTransaction change(*connection_);
  copy_pictures();
  copy_vectors();
  const auto before = set_names();
  count(static_cast<int64_t>(pending_.pictures.size()), rows);
  remove_nameless(before);
  change.commit();
  pending_ = {};
  vectors_.clear();
}

void PostgresWriter::count(int64_t pictures, int64_t vectors) {
  connection_->query(
      "UPDATE opencloc.indexes SET pictures = pictures + $2::int8, vectors = vectors + $3::int8, "
      "next_picture = $4::int8, version = version + 1 WHERE id = $1::int8",
      PostgresValues().number(state_.id).number(pictures).number(vectors).number(
          state_.next_picture));
}

int64_t PostgresWriter::delete_pictures(std::span<const int64_t> pictures) {
  const PostgresValues wanted = PostgresValues().numbers(pictures);
  const auto gone =
      connection_->query("DELETE FROM pictures WHERE id = ANY($1::int8[]) RETURNING rows", wanted);
  int64_t rows = 0;
  for (const int64_t own : numbers_in(gone)) rows += own;
  connection_->query("DELETE FROM names WHERE picture = ANY($1::int8[])", wanted);
  connection_->query("DELETE FROM texts WHERE picture = ANY($1::int8[])", wanted);
  connection_->query("DELETE FROM vectors WHERE picture = ANY($1::int8[])", wanted);
  if (gone.count() > 0) count(-gone.count(), -rows);
  return gone.count();
}

int64_t PostgresWriter::remove_nameless(std::span<const int64_t> pictures) {
  if (pictures.empty()) return 0;
  const auto nameless = connection_->query(
      "SELECT id FROM pictures WHERE id = ANY($1::int8[]) "
      "AND NOT EXISTS (SELECT FROM names WHERE picture = id)",
      PostgresValues().numbers(pictures));
  return nameless.count() == 0 ? 0 : delete_pictures(numbers_in(nameless));
}

int64_t PostgresWriter::remove(std::span<const int64_t> pictures) {
  commit();
  PostgresTransaction change(*connection_);
  const int64_t removed = delete_pictures(pictures);
  change.commit();
  return removed;
}

int64_t PostgresWriter::remove_names(std::span<const std::string> names) {
  commit();
  PostgresTransaction change(*connection_);
  const auto stood_for = connection_->query(
      "DELETE FROM names WHERE sha256(name) IN (SELECT sha256(n) FROM unnest($1::bytea[]) AS n) "
      "RETURNING picture",
      PostgresValues().many_bytes(names));
  const int64_t removed = remove_nameless(numbers_in(stood_for));
  change.commit();
  return removed;
}

void PostgresWriter::set_cuts(std::span<const CalibratedCut> cuts) {
  commit();
  Json info = index_info_json(state_.info);
  info["cuts"] = cuts_json(cuts);
  connection_->query(
      "UPDATE opencloc.indexes SET info = $2::text, version = version + 1 WHERE id = $1::int8",
      PostgresValues().number(state_.id).text(dump_json(info)));
}

std::unique_ptr<IndexStoreWriter> open_postgres_writer(const std::string& place) {
  return std::make_unique<PostgresWriter>(parse_postgres_address(place));
}

}  // namespace opencloc

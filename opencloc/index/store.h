// An index wherever it lies: in a folder (IndexReader, IndexWriter), or in PostgreSQL with pgvector
// (postgres/). A place is written as a folder's path or as
// postgres://USER@HOST/DB?index=NAME (postgres/address.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/image/box.h"
#include "opencloc/index/catalog.h"
#include "opencloc/index/cut.h"
#include "opencloc/index/info.h"

namespace opencloc {

// A row that is near to a query. Region 0 is the whole picture.
struct NearRow {
  int64_t picture = 0, region = 0;
  double score = 0;  // of the stored vector
};

// What one query finds before anything is gathered or left out.
struct Nearest {
  std::vector<NearRow> rows;  // best first; equal scores in the order pictures were added
  // Of the scores of all rows that are searched, or of a sample of them (ScoreHistogram).
  double median = 0, deviation = 0;
};

struct StoredRow {
  int64_t region = 0;
  Box box;
  std::vector<float> vector;  // [E] as it is stored
  // In [0, 1]; none of whole pictures, and where the model predicts none.
  std::optional<float> quality = std::nullopt;
};

// A picture's rows by region, the whole picture's first.
struct PictureRows {
  int64_t picture = 0;
  std::vector<StoredRow> rows;
};

// The dot product that scores are: summed in double, in order.
double dot_product(const std::vector<float>& a, const std::vector<float>& b);

// What searching and looking need of an index. Every call may throw Error. Not thread-safe.
class IndexStore {
 public:
  virtual ~IndexStore() = default;

  // The place as messages show it, without a password.
  virtual std::string name() const = 0;
  virtual const IndexInfo& info() const = 0;
  virtual PictureCatalog& catalog() = 0;
  // Takes over what other processes have committed since. True when there was something.
  virtual bool refresh() = 0;

  // Whether any region has a quality that counts.
  virtual bool has_quality() const = 0;
  // Where hits end by themselves, as `index calibrate` found it; none of an index that was not.
  virtual const std::vector<CalibratedCut>& cuts() const = 0;
  // Rows that a search of this kind looks at.
  virtual int64_t searched(SearchUnit unit) const = 0;
  // The best `candidates` rows of every query, fewer only where there are fewer. queries [Q, E],
  // finite. -> [Q]
  virtual std::vector<Nearest> nearest(SearchUnit unit, SearchScore score,
                                       std::span<const std::vector<float>> queries,
                                       int64_t candidates) const = 0;
  // Of those of these pictures that are there, in the order of `pictures`.
  virtual std::vector<PictureRows> rows_of(std::span<const int64_t> pictures) const = 0;
  // How it is stored, for people: names and values.
  virtual Json storage() const = 0;
};

struct NewPicture;

// What stands at the end of compact().
struct Compaction {
  int64_t segments = 0;   // of a folder: that became one
  int64_t rows = 0;       // now
  int64_t dropped = 0;    // of a folder: rows of removed pictures
  std::string says = {};  // of a database: what was done; empty for a folder
};

// The one process that changes an index: adds pictures, removes them, compacts. What it has
// committed is there whatever happens to it afterwards; what it has not is gone, whole. Not
// thread-safe.
class IndexStoreWriter {
 public:
  virtual ~IndexStoreWriter() = default;

  virtual const IndexInfo& info() const = 0;
  virtual PictureCatalog& catalog() = 0;

  // Whether a picture of this content is there, also one that is not committed yet.
  virtual bool has(const std::string& digest) = 0;
  // Another name for content that is there. A name that stood for other content moves; content
  // that loses its last name is removed.
  virtual void add_name(const PictureName& name, const std::string& digest) = 0;
  // Content that is not there yet. Throws Error (input) for vectors of another width or with
  // numbers that are not finite.
  virtual void add(const NewPicture& picture) = 0;
  // Pictures that were added and are not committed.
  virtual int64_t pending() const = 0;
  // Makes everything that was added valid.
  virtual void commit() = 0;

  // Each is a change of its own, committed when it returns. How many pictures went.
  virtual int64_t remove(std::span<const int64_t> pictures) = 0;
  virtual int64_t remove_names(std::span<const std::string> names) = 0;

  // In place of those that are there.
  virtual void set_cuts(std::span<const CalibratedCut> cuts) = 0;

  // Makes searching as fast as it gets. `copied` hears of rows.
  virtual Compaction compact(const std::function<void(int64_t rows)>& copied) = 0;
};

// Each throws Error (input) for a place that is none, and where there is no index (but the first
// two). See index_exists(), create_index() and read_index_info() of info.h for folders.
bool store_exists(const std::string& place);
void create_store(const std::string& place, const IndexInfo& info);
IndexInfo read_store_info(const std::string& place);
std::unique_ptr<IndexStore> open_store(const std::string& place);
// Throws Error (input) when another process writes, naming it.
std::unique_ptr<IndexStoreWriter> open_store_writer(const std::string& place);
// The place for messages and output: without a password.
std::string shown_place(const std::string& place);

}  // namespace opencloc

// What an index knows beside its vectors: pictures, their names and texts, which segments count and
// which pictures were removed. One SQLite file (write-ahead log), and the only place where a change
// becomes valid: a segment counts from the moment its row is committed.
//
// Readers see committed states only, whatever a writer does meanwhile. Writers are kept apart by
// the index's lock (index_writer.h). Every call may throw Error (failed) with SQLite's reason, and
// Error (input) for a file that is no catalog. Not thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/index/cut.h"

namespace opencloc {

struct CatalogPicture {
  int64_t id = 0;
  std::string digest;  // SHA-256 of the encoded picture, 64 hexadecimal digits
  int64_t width = 0, height = 0;
  int64_t rows = 0;  // vectors, the whole picture's included
  std::string caption;
};

// A name under which a picture was added. Several names may stand for the same content.
struct PictureName {
  std::string name = {};  // a path, or "shard.tar#key"
  int64_t picture = 0;
  int64_t sample = -1;  // its number in the shard; -1 for a file
  // Of the picture's file, or the shard: what tells that it has not changed since.
  int64_t bytes = 0, modified_ns = 0;
};

struct RegionText {
  int64_t region = 0;  // 1 = the row behind the whole picture's
  std::string text;
};

struct SegmentEntry {
  int64_t id = 0;
  int64_t rows = 0;
  uint32_t checksum = 0;  // Segment::checksum()
};

// A picture with all that is shown of it.
struct PictureEntry {
  CatalogPicture picture;
  std::vector<PictureName> names;  // first added first
  std::vector<RegionText> texts;
};

struct CatalogCounts {
  int64_t pictures = 0, names = 0, rows = 0, texts = 0, removed = 0;
};

// What an index knows of its pictures beside their vectors, wherever that is kept.
class PictureCatalog {
 public:
  virtual ~PictureCatalog() = default;
  virtual CatalogCounts counts() = 0;
  // Those of these ids that are there, in the order of `ids`; in one statement for all.
  virtual std::vector<PictureEntry> pictures(std::span<const int64_t> ids) = 0;
  virtual std::optional<int64_t> picture_of_digest(const std::string& digest) = 0;
  virtual std::vector<std::string> digests() = 0;
  virtual std::optional<PictureName> find_name(const std::string& name) = 0;
  // All names, by picture, then as they were added.
  virtual std::vector<PictureName> names() = 0;
  // All pictures from `after` on, ascending, at most `count`.
  virtual std::vector<CatalogPicture> pictures_after(int64_t after, int64_t count) = 0;
};

class Catalog : public PictureCatalog {
 public:
  enum class Mode { kRead, kWrite };
  // A new, empty one.
  static void create(const std::filesystem::path& path);
  Catalog(const std::filesystem::path& path, Mode mode);
  ~Catalog() override;
  Catalog(Catalog&& other) noexcept;

  // Another number after each change that another process has committed.
  int64_t data_version();
  // The segments in order of their pictures, and the removed pictures that still have rows in
  // them, ascending: of one moment.
  struct State {
    std::vector<SegmentEntry> segments;
    std::vector<uint32_t> removed;
  };
  State state();
  std::vector<CalibratedCut> cuts();

  CatalogCounts counts() override;
  std::vector<PictureEntry> pictures(std::span<const int64_t> ids) override;
  std::optional<int64_t> picture_of_digest(const std::string& digest) override;
  std::vector<std::string> digests() override;
  std::optional<PictureName> find_name(const std::string& name) override;
  std::vector<PictureName> names() override;
  std::vector<CatalogPicture> pictures_after(int64_t after, int64_t count) override;
  // The first id that was never used.
  int64_t next_picture();
  int64_t next_segment();
  // Throws Error (input) when SQLite finds its own file damaged.
  void check();

  // A change: all of it or nothing, decided by commit(). One at a time.
  class Change {
   public:
    explicit Change(Catalog& catalog);
    ~Change();
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;

    void add(const CatalogPicture& picture);
    void add_text(int64_t picture, const RegionText& text);
    // A name that is there already moves to its new picture.
    void set_name(const PictureName& name);
    // False when there was no such name.
    bool remove_name(const std::string& name);
    // The picture with its names and texts; its rows stay in the segment. False when there is none.
    bool remove_picture(int64_t id);
    // Pictures that have lost their last name. Returns how many went.
    int64_t remove_nameless();
    void add_segment(const SegmentEntry& segment);
    // In place of all segments; the removed pictures have no rows any more.
    void replace_segments(const std::optional<SegmentEntry>& by);
    void set_cuts(std::span<const CalibratedCut> cuts);
    void commit();

   private:
    Catalog& catalog_;
    bool open_ = true;
  };

 private:
  struct Connection;
  std::unique_ptr<Connection> connection_;
};

}  // namespace opencloc

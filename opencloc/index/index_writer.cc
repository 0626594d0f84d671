#include "opencloc/index/index_writer.h"

#include <algorithm>
#include <limits>
#include <set>
#include <system_error>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"
#include "opencloc/base/temporary.h"

namespace opencloc {
namespace {

const FolderWork kWriting{"writing", "index", "wait for it; searching is possible meanwhile"};

}  // namespace

IndexWriter::IndexWriter(std::filesystem::path path)
    : path_(std::move(path)),
      info_(read_index_info(path_)),
      lock_(path_, kWriting),
      catalog_(catalog_path(path_), Catalog::Mode::kWrite),
      next_picture_(catalog_.next_picture()),
      rows_(info_.width) {
  clear_debris();
}

void IndexWriter::clear_debris() {
  std::set<std::filesystem::path> counted;
  for (const SegmentEntry& entry : catalog_.state().segments)
    counted.insert(segment_path(path_, entry.id));
  const auto folder = path_ / "segments";
  remove_abandoned(folder);
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    std::error_code ignored;  // it is looked for again the next time
    const bool is_segment = file.path().extension() == ".seg";
    if (is_segment && !counted.contains(file.path())) std::filesystem::remove(file.path(), ignored);
  }
}

bool IndexWriter::has(const std::string& digest) {
  return pending_.by_digest.contains(digest) || catalog_.picture_of_digest(digest).has_value();
}

void IndexWriter::add_name(const PictureName& name, const std::string& digest) {
  pending_.add_name(name, digest, catalog_);
}

void IndexWriter::add(const NewPicture& picture) {
  require_vectors(picture, info_.width);
  if (next_picture_ > std::numeric_limits<uint32_t>::max()) {
    throw Error::input("an index numbers no more than 2^32 pictures", path_.string(),
                       "go on in a second index");
  }
  const int64_t id = next_picture_++;
  const auto number = static_cast<uint32_t>(id);
  rows_.add(number, StoredBox{}, picture.vector);
  for (const NewRegion& region : picture.regions) {
    rows_.add(number, stored_box(region.box), region.vector,
              region.quality ? stored_quality(*region.quality) : kFullQuality);
  }
  pending_.add(picture, id);
}

void IndexWriter::commit() {
  if (pending_.empty()) return;
  Catalog::Change change(catalog_);
  for (const CatalogPicture& picture : pending_.pictures) change.add(picture);
  for (const auto& [picture, text] : pending_.texts) change.add_text(picture, text);
  bool moved = false;
  for (const PictureName& name : pending_.names) {
    const auto before = catalog_.find_name(name.name);
    moved |= before && before->picture != name.picture;
    change.set_name(name);
  }
  if (moved) change.remove_nameless();
  if (rows_.rows() > 0) {
    const SegmentColumns columns = rows_.columns();
    const SegmentRun run{&columns, 0, columns.rows()};
    const int64_t id = catalog_.next_segment();
    const uint32_t checksum = write_segment(segment_path(path_, id), {&run, 1});
    change.add_segment({id, columns.rows(), checksum});
  }
  change.commit();
  rows_ = SegmentRows(info_.width);
  pending_ = {};
}

int64_t IndexWriter::remove(std::span<const int64_t> pictures) {
  commit();
  Catalog::Change change(catalog_);
  int64_t removed = 0;
  for (const int64_t id : pictures) removed += change.remove_picture(id) ? 1 : 0;
  change.commit();
  return removed;
}

int64_t IndexWriter::remove_names(std::span<const std::string> names) {
  commit();
  Catalog::Change change(catalog_);
  for (const std::string& name : names) change.remove_name(name);
  const int64_t removed = change.remove_nameless();
  change.commit();
  return removed;
}

void IndexWriter::set_cuts(std::span<const CalibratedCut> cuts) {
  commit();
  Catalog::Change change(catalog_);
  change.set_cuts(cuts);
  change.commit();
}

Compaction IndexWriter::compact(const std::function<void(int64_t rows)>& copied) {
  commit();
  const Catalog::State state = catalog_.state();
  Compaction result;
  if (state.segments.empty() || (state.segments.size() == 1 && state.removed.empty()))
    return result;
  std::vector<std::unique_ptr<Segment>> segments;
  std::vector<SegmentRun> runs;
  for (const SegmentEntry& entry : state.segments) {
    segments.push_back(std::make_unique<Segment>(segment_path(path_, entry.id)));
    segments.back()->verify();  // damage must not get a new checksum
    const SegmentColumns& columns = segments.back()->columns();
    for (int64_t row = 0; row < columns.rows();) {
      const int64_t end = columns.end_row(row);
      if (std::binary_search(state.removed.begin(), state.removed.end(), columns.image[row])) {
        result.dropped += end - row;
      } else if (!runs.empty() && runs.back().columns == &columns && runs.back().end == row) {
        runs.back().end = end;
      } else {
        runs.push_back({&columns, row, end});
      }
      row = end;
    }
    if (copied) copied(columns.rows());
  }
  for (const SegmentRun& run : runs) result.rows += run.end - run.begin;
  result.segments = static_cast<int64_t>(state.segments.size());
  Catalog::Change change(catalog_);
  std::optional<SegmentEntry> entry;
  if (result.rows > 0) {
    const int64_t id = catalog_.next_segment();
    entry = {id, result.rows, write_segment(segment_path(path_, id), runs)};
  }
  change.replace_segments(entry);
  change.commit();
  segments.clear();
  clear_debris();  // processes that have the old ones mapped keep them
  return result;
}

}  // namespace opencloc

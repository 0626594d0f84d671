#include "opencloc/index/index_writer.h"

#include <algorithm>
#include <cmath>
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

void require_vector(const std::vector<float>& vector, int64_t width, const std::string& name) {
  if (static_cast<int64_t>(vector.size()) != width) {
    throw Error::input("a vector of " + std::to_string(vector.size()) +
                           " numbers for an index of " + std::to_string(width),
                       name, "use the model that the index was made with");
  }
  if (!std::all_of(vector.begin(), vector.end(), [](float x) { return std::isfinite(x); })) {
    throw Error::input("the model gives embeddings that are not finite numbers", name,
                       "use an earlier checkpoint");
  }
}

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
  return pending_.contains(digest) || catalog_.picture_of_digest(digest).has_value();
}

void IndexWriter::add_name(const PictureName& name, const std::string& digest) {
  PictureName named = name;
  const auto pending = pending_.find(digest);
  if (pending != pending_.end()) {
    named.picture = pending->second;
  } else if (const auto known = catalog_.picture_of_digest(digest)) {
    named.picture = *known;
  } else {
    throw Error::failed("no picture of this content is in the index", name.name);
  }
  names_.push_back(std::move(named));
}

void IndexWriter::add(const NewPicture& picture) {
  require_vector(picture.vector, info_.width, picture.name.name);
  for (const NewRegion& region : picture.regions) {
    require_vector(region.vector, info_.width, picture.name.name);
    if (!std::isfinite(region.quality.value_or(1))) {
      throw Error::input("the model gives qualities that are not finite numbers", picture.name.name,
                         "use an earlier checkpoint");
    }
  }
  if (next_picture_ > std::numeric_limits<uint32_t>::max()) {
    throw Error::input("an index numbers no more than 2^32 pictures", path_.string(),
                       "go on in a second index");
  }
  const int64_t id = next_picture_++;
  const auto number = static_cast<uint32_t>(id);
  rows_.add(number, StoredBox{}, picture.vector);
  for (size_t i = 0; i < picture.regions.size(); ++i) {
    const NewRegion& region = picture.regions[i];
    rows_.add(number, stored_box(region.box), region.vector,
              region.quality ? stored_quality(*region.quality) : kFullQuality);
    if (!region.text.empty())
      texts_.emplace_back(id, RegionText{static_cast<int64_t>(i) + 1, region.text});
  }
  pictures_.push_back({id, picture.digest, picture.width, picture.height,
                       static_cast<int64_t>(picture.regions.size()) + 1, picture.caption});
  pending_[picture.digest] = id;
  names_.push_back(picture.name);
  names_.back().picture = id;
}

void IndexWriter::commit() {
  if (pictures_.empty() && names_.empty()) return;
  Catalog::Change change(catalog_);
  for (const CatalogPicture& picture : pictures_) change.add(picture);
  for (const auto& [picture, text] : texts_) change.add_text(picture, text);
  bool moved = false;
  for (const PictureName& name : names_) {
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
  pictures_.clear();
  names_.clear();
  texts_.clear();
  pending_.clear();
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

#include "opencloc/index/index_reader.h"

#include <algorithm>
#include <utility>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

constexpr int kTries = 20;  // a compaction may replace the segments between two looks

bool same_segments(const Catalog::State& a, const Catalog::State& b) {
  return std::equal(a.segments.begin(), a.segments.end(), b.segments.begin(), b.segments.end(),
                    [](const SegmentEntry& x, const SegmentEntry& y) { return x.id == y.id; });
}

}  // namespace

IndexReader::IndexReader(std::filesystem::path path)
    : path_(std::move(path)),
      info_(read_index_info(path_)),
      catalog_(catalog_path(path_), Catalog::Mode::kRead) {
  load();
}

bool IndexReader::refresh() {
  if (catalog_.data_version() == version_) return false;
  load();
  return true;
}

std::vector<std::shared_ptr<IndexReader::Open>> IndexReader::open_segments(
    const Catalog::State& state) const {
  std::vector<std::shared_ptr<Open>> segments;
  for (const SegmentEntry& entry : state.segments) {
    const auto known = std::find_if(segments_.begin(), segments_.end(),
                                    [&](const auto& open) { return open->id == entry.id; });
    auto open = std::make_shared<Open>();
    if (known != segments_.end()) {
      open = *known;
    } else {
      const auto file = segment_path(path_, entry.id);
      open->id = entry.id;
      open->file = std::make_unique<Segment>(file);
      if (open->file->columns().rows() != entry.rows ||
          open->file->columns().width != info_.width) {
        throw Error::input("the segment is not the one that the index's catalog names",
                           file.string(), "restore the file, or make the index anew");
      }
    }
    const SegmentColumns& columns = open->file->columns();
    if (columns.quality != nullptr && open->offset.empty() && info_.inverse_temperature > 0) {
      open->offset.reserve(static_cast<size_t>(columns.rows()));
      for (int64_t row = 0; row < columns.rows(); ++row)
        open->offset.push_back(quality_offset(columns.quality[row], info_.inverse_temperature));
    }
    segments.push_back(std::move(open));
  }
  return segments;
}

void IndexReader::load() {
  for (int tries = 1;; ++tries) {
    const int64_t version = catalog_.data_version();
    const Catalog::State state = catalog_.state();
    try {
      auto segments = open_segments(state);
      segments_ = std::move(segments);
    } catch (const Error&) {
      if (tries < kTries && !same_segments(state, catalog_.state())) continue;
      throw;
    }
    version_ = version;
    removed_ = state.removed;
    cuts_ = catalog_.cuts();
    break;
  }
  for (auto& of_score : parts_) {
    for (auto& parts : of_score) parts.clear();
  }
  searched_ = {};
  for (const auto& segment : segments_) mark(*segment, removed_);
}

void IndexReader::mark(Open& segment, const std::vector<uint32_t>& removed) {
  const SegmentColumns& columns = segment.file->columns();
  const int64_t rows = columns.rows();
  for (auto& bits : segment.left_out) bits.assign(static_cast<size_t>(rows + 63) / 64, 0);
  for (int64_t row = 0; row < rows;) {
    const int64_t end = columns.end_row(row);
    const bool is_removed = std::binary_search(removed.begin(), removed.end(), columns.image[row]);
    for (int64_t i = row; i < end; ++i) {
      const bool whole = i == row;
      const std::array<bool, 3> out = {is_removed || !whole, is_removed || whole, is_removed};
      for (size_t unit = 0; unit < out.size(); ++unit) {
        segment.left_out[unit][static_cast<size_t>(i / 64)] |= uint64_t{out[unit]} << (i % 64);
        searched_[unit] += out[unit] ? 0 : 1;
      }
    }
    row = end;
  }
  for (size_t unit = 0; unit < segment.left_out.size(); ++unit) {
    kernels::ScanPart part = columns.scan;
    part.left_out = segment.left_out[unit].data();
    parts_[static_cast<size_t>(SearchScore::kCosine)][unit].push_back(part);
    if (!segment.offset.empty()) part.offset = segment.offset.data();
    parts_[static_cast<size_t>(SearchScore::kQuality)][unit].push_back(part);
  }
}

std::optional<RowPlace> IndexReader::find(int64_t picture) const {
  const auto number = static_cast<uint32_t>(picture);
  if (picture < 0 || number != picture ||
      std::binary_search(removed_.begin(), removed_.end(), number)) {
    return std::nullopt;
  }
  for (size_t i = 0; i < segments_.size(); ++i) {
    const auto rows = columns(i).rows_of(number);
    if (!rows.empty()) return RowPlace{i, rows};
  }
  return std::nullopt;
}

bool IndexReader::has_quality() const {
  return std::any_of(segments_.begin(), segments_.end(),
                     [](const auto& segment) { return !segment->offset.empty(); });
}

std::vector<Nearest> IndexReader::nearest(SearchUnit unit, SearchScore score,
                                          std::span<const std::vector<float>> queries,
                                          int64_t candidates) const {
  std::vector<float> rows;  // [Q, E]
  for (const auto& query : queries) rows.insert(rows.end(), query.begin(), query.end());
  const auto answers = kernels::scan(parts(unit, score), info_.width, rows.data(),
                                     static_cast<int64_t>(queries.size()), candidates);
  std::vector<Nearest> found;
  for (const kernels::ScanAnswer& answer : answers) {
    Nearest& nearest = found.emplace_back();
    nearest.median = answer.scores.median();
    nearest.deviation = answer.scores.deviation();
    nearest.rows.reserve(answer.hits.size());
    for (const kernels::ScanHit& hit : answer.hits) {
      const SegmentColumns& of = columns(static_cast<size_t>(hit.part));
      nearest.rows.push_back(
          {of.image[hit.row], hit.row - of.first_row(hit.row), static_cast<double>(hit.score)});
    }
  }
  return found;
}

std::vector<PictureRows> IndexReader::rows_of(std::span<const int64_t> pictures) const {
  std::vector<PictureRows> found;
  for (const int64_t picture : pictures) {
    const auto place = find(picture);
    if (!place) continue;
    const SegmentColumns& of = columns(place->segment);
    PictureRows& rows = found.emplace_back();
    rows.picture = picture;
    for (int64_t row = place->rows.begin; row < place->rows.end; ++row) {
      const int64_t region = row - place->rows.begin;
      StoredRow& one = rows.rows.emplace_back();
      one.region = region;
      one.box = box_of(of.box[row]);
      one.vector = of.vector(row);
      if (of.quality != nullptr && region > 0) one.quality = quality_of(of.quality[row]);
    }
  }
  return found;
}

Json IndexReader::storage() const {
  int64_t rows = 0;
  uint64_t bytes = std::filesystem::file_size(catalog_path(path_));
  for (const auto& segment : segments_) {
    rows += segment->file->columns().rows();
    bytes += segment->file->bytes();
  }
  Json json;
  json["removed_vectors"] = rows - searched(SearchUnit::kBoth);
  json["segments"] = segments();
  json["bytes_on_disk"] = bytes;
  json["bytes_searched"] = hot_bytes();
  json["bytes_searched_a_vector"] =
      rows == 0 ? 0.0 : static_cast<double>(hot_bytes()) / static_cast<double>(rows);
  return json;
}

int64_t IndexReader::hot_bytes() const {
  int64_t rows = 0, offsets = 0;
  for (const auto& segment : segments_) {
    rows += segment->file->columns().rows();
    offsets += static_cast<int64_t>(segment->offset.size());
  }
  const auto bits = static_cast<int64_t>(searched_.size());
  return rows * (kernels::scan_stride(info_.width) + 8) + rows * bits / 8 + 4 * offsets;
}

}  // namespace opencloc

// An index opened for searching: all segments mapped, with what is left out of them.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "opencloc/index/catalog.h"
#include "opencloc/index/info.h"
#include "opencloc/index/segment.h"
#include "opencloc/index/store.h"

namespace opencloc {

// Where a picture's rows lie.
struct RowPlace {
  size_t segment = 0;
  SegmentColumns::Range rows;  // the whole picture's first
};

// A state of the index: what was committed when it was opened or last refreshed. It stays readable
// whatever a writer does. Not thread-safe.
class IndexReader : public IndexStore {
 public:
  // Throws Error (input) for what is no index, and for damaged or missing segments.
  explicit IndexReader(std::filesystem::path path);

  const std::filesystem::path& path() const { return path_; }
  std::string name() const override { return path_.string(); }
  const IndexInfo& info() const override { return info_; }
  Catalog& catalog() override { return catalog_; }
  bool refresh() override;

  size_t segments() const { return segments_.size(); }
  const Segment& segment(size_t i) const { return *segments_[i]->file; }
  const SegmentColumns& columns(size_t i) const { return segments_[i]->file->columns(); }
  bool has_quality() const override;
  const std::vector<CalibratedCut>& cuts() const override { return cuts_; }
  // For kernels::scan(), a part for each segment. Valid until refresh().
  std::span<const kernels::ScanPart> parts(SearchUnit unit, SearchScore score) const {
    return parts_[static_cast<size_t>(score)][static_cast<size_t>(unit)];
  }
  int64_t searched(SearchUnit unit) const override { return searched_[static_cast<size_t>(unit)]; }
  // All queries share one pass.
  std::vector<Nearest> nearest(SearchUnit unit, SearchScore score,
                               std::span<const std::vector<float>> queries,
                               int64_t candidates) const override;
  std::vector<PictureRows> rows_of(std::span<const int64_t> pictures) const override;
  Json storage() const override;
  // Where a picture's rows lie; none when it was removed or never there.
  std::optional<RowPlace> find(int64_t picture) const;
  // Bytes that every search reads, and so should stay in memory.
  int64_t hot_bytes() const;

 private:
  struct Open {
    int64_t id = 0;
    std::unique_ptr<Segment> file;
    std::array<std::vector<uint64_t>, 3> left_out;  // bits, by SearchUnit
    std::vector<float> offset;                      // of the rows' qualities; empty: there are none
  };
  void load();
  std::vector<std::shared_ptr<Open>> open_segments(const Catalog::State& state) const;
  void mark(Open& segment, const std::vector<uint32_t>& removed);

  const std::filesystem::path path_;
  const IndexInfo info_;
  Catalog catalog_;
  int64_t version_ = 0;
  std::vector<uint32_t> removed_;
  std::vector<CalibratedCut> cuts_;
  std::vector<std::shared_ptr<Open>> segments_;
  std::array<std::array<std::vector<kernels::ScanPart>, 3>, 2> parts_;  // by score, unit
  std::array<int64_t, 3> searched_{};
};

}  // namespace opencloc

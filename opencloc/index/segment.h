// A segment of an index: vectors of pictures and regions in one file that is written once and never
// changed. It is mapped, and searched where it lies.
//
// Little-endian. A header of 64 bytes, then columns that each begin at a multiple of 64:
//   values  s8  [R, stride]  stride = scan_stride(E), zeros from E on (kernels/scan/scan.h)
//   scale   f32 [R]          vector = scale * values
//   sums    i32 [R]          of a row's values
//   exact   u16 [R, E]       what scores are computed from: 16 bits a number (kernels/scan/row16.h)
//   image   u32 [R]          the picture of a row; rows of one picture lie together, the whole
//                            picture's first; pictures ascend
//   box     u16 [R, 4]       x0, y0, x1, y1 in 1/65535 of the picture
//   quality u16 [R]          of versions 2 and 4 alone (quality.h); 65535 for whole pictures
//   unit    f32 [R]          of versions 3 and 4 alone: of `exact`. 0: that row is fp16, as
//                            all rows of versions 1 and 2 are
// then a CRC-32C for every MiB of all that. Only the first columns, 8 + stride bytes a row, are
// touched by a search.
//
// A file is not trusted: its sizes are checked when it is opened, so that no content of a column
// can lead outside the map; verify() checks the contents.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/base/files.h"
#include "opencloc/image/box.h"
#include "opencloc/index/quality.h"
#include "opencloc/kernels/scan/scan.h"

namespace opencloc {

struct StoredBox {
  uint16_t x0 = 0, y0 = 0, x1 = 65535, y1 = 65535;
  bool operator==(const StoredBox&) const = default;
};
// Both clip to [0, 1]; a box comes back within 1/131070 of where it was.
StoredBox stored_box(const Box& box);
Box box_of(const StoredBox& stored);

// The columns, wherever they lie.
struct SegmentColumns {
  int64_t width = 0;  // E
  kernels::ScanPart scan;
  const uint32_t* image = nullptr;  // [R]
  const StoredBox* box = nullptr;   // [R]
  // [R]; null where the model predicts none: as kFullQuality everywhere.
  const uint16_t* quality = nullptr;

  int64_t rows() const { return scan.rows; }
  // The first row of the picture that `row` belongs to: the whole picture's.
  int64_t first_row(int64_t row) const;
  int64_t end_row(int64_t row) const;  // behind its last
  // The rows of a picture, or an empty range.
  struct Range {
    int64_t begin = 0, end = 0;
    bool empty() const { return begin == end; }
  };
  Range rows_of(uint32_t image) const;
  // A row's vector [E] as `exact` has it.
  std::vector<float> vector(int64_t row) const;
};

// The columns of a file's bytes, which begin at a multiple of 64 in memory. Throws Error (input)
// naming `where` unless header and sizes fit together.
SegmentColumns read_segment(std::span<const std::byte> bytes, std::string_view where);

// A mapped segment. Thread-safe.
class Segment {
 public:
  // Throws Error (input) for a file that is missing, cut short or no segment.
  explicit Segment(const std::filesystem::path& path);
  const SegmentColumns& columns() const { return columns_; }
  uint64_t bytes() const { return map_.bytes().size(); }
  // Checksum of the checksums, which the catalog keeps.
  uint32_t checksum() const;
  // Throws Error (input) that names the first block whose checksum is another, or the first row
  // that breaks the rules above. Reads all of it; `read` hears of every block's bytes.
  void verify(const std::function<void(uint64_t bytes)>& read = {}) const;

 private:
  const std::string path_;
  const MappedFile map_;
  SegmentColumns columns_;
};

// Gathers rows in memory.
class SegmentRows {
 public:
  explicit SegmentRows(int64_t width) : width_(width) {}
  // vector [E], finite, of unit length. The rows of a picture follow each other, the whole
  // picture's first. Where no row has a quality below kFullQuality, columns() have none.
  void add(uint32_t image, const StoredBox& box, std::span<const float> vector,
           uint16_t quality = kFullQuality);
  int64_t rows() const { return static_cast<int64_t>(image_.size()); }
  // Valid until the next add().
  SegmentColumns columns() const;

 private:
  int64_t width_;
  std::vector<int8_t> values_;
  std::vector<float> scale_;
  std::vector<int32_t> sums_;
  std::vector<uint16_t> exact_;
  std::vector<float> unit_;
  std::vector<uint32_t> image_;
  std::vector<StoredBox> box_;
  std::vector<uint16_t> quality_;
  bool any_quality_ = false;
};

// Rows [begin, end) of some columns.
struct SegmentRun {
  const SegmentColumns* columns = nullptr;
  int64_t begin = 0, end = 0;
};
// Writes the runs, all of one width, one behind the other as a segment: with qualities, and with
// units, where one of them has any; whole or not at all, and on the disk when it returns. Returns
// its checksum(). Throws Error (failed).
uint32_t write_segment(const std::filesystem::path& path, std::span<const SegmentRun> runs);

}  // namespace opencloc

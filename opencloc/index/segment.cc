#include "opencloc/index/segment.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "opencloc/base/crc32c.h"
#include "opencloc/base/error.h"
#include "opencloc/index/segment_format.h"

namespace opencloc {
namespace {

constexpr const char* kMendSegment = "run 'opencloc index verify', and add its pictures again";

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

[[noreturn]] void no_segment(const std::string& why, std::string_view where) {
  throw Error::input("not a sound segment of an index (" + why + ")", where, kMendSegment);
}

uint16_t in_steps(float x) {
  return static_cast<uint16_t>(std::lround(std::clamp(x, 0.0f, 1.0f) * 65535.0f));
}

// What is wrong with a row of a file whose checksums are right; empty when nothing is.
std::string fault_of(const SegmentColumns& columns, int64_t row) {
  const int64_t stride = kernels::scan_stride(columns.width);
  const int8_t* values = columns.scan.values + row * stride;
  int32_t sum = 0;
  for (int64_t i = 0; i < stride; ++i) sum += values[i];
  if (sum != columns.scan.sums[row]) return "a wrong sum";
  if (!std::isfinite(columns.scan.scale[row])) return "a scale that is no number";
  const float unit = columns.scan.unit == nullptr ? 0 : columns.scan.unit[row];
  if (!(unit >= 0) || !std::isfinite(unit)) return "a unit that is none";
  if (row > 0 && columns.image[row] < columns.image[row - 1]) return "pictures out of order";
  const StoredBox& box = columns.box[row];
  if (box.x0 > box.x1 || box.y0 > box.y1) return "a box that is inside out";
  const bool whole = row == 0 || columns.image[row] != columns.image[row - 1];
  if (whole && columns.quality != nullptr && columns.quality[row] != kFullQuality)
    return "a whole picture with a quality";
  return {};
}

}  // namespace

namespace segment_format {

Header read_header(std::span<const std::byte> bytes, std::string_view where) {
  Header header;
  if (bytes.size() < sizeof header) no_segment("it is shorter than a header", where);
  std::memcpy(&header, bytes.data(), sizeof header);
  if (!std::equal(std::begin(kMagic), std::end(kMagic), header.magic))
    no_segment("it begins otherwise", where);
  if (header.version < 1 || header.version > kLastVersion) {
    throw Error::input("a segment of version " + std::to_string(header.version) +
                           ", this program knows 1 to " + std::to_string(kLastVersion),
                       where, "use a newer OpenCLOC");
  }
  if (header.crc != crc32c(text_of(bytes.first(offsetof(Header, crc)))))
    no_segment("its header has another checksum", where);
  // Rows first, so that nothing below overflows: a row takes more than width bytes.
  const bool fits = header.width >= 1 && header.width <= kernels::kMaxScanWidth &&
                    header.rows <= bytes.size() / header.width;
  if (!fits) no_segment("its sizes do not fit the file's", where);
  const Places places(header);
  const uint64_t whole = places.end + 4 * blocks_of(places.end);
  if (header.body != places.end || bytes.size() != whole) {
    no_segment(
        "it has " + std::to_string(bytes.size()) + " bytes in place of " + std::to_string(whole),
        where);
  }
  return header;
}

void verify(std::span<const std::byte> bytes, std::string_view where,
            const std::function<void(uint64_t bytes)>& read) {
  const SegmentColumns columns = read_segment(bytes, where);
  const uint64_t body = read_header(bytes, where).body;
  for (uint64_t block = 0; block < blocks_of(body); ++block) {
    const uint64_t begin = block * kBlock;
    const uint64_t size = std::min(kBlock, body - begin);
    uint32_t stored;
    std::memcpy(&stored, bytes.data() + body + 4 * block, sizeof stored);
    if (crc32c(text_of(bytes.subspan(begin, size))) != stored) {
      throw Error::input("bytes " + std::to_string(begin) + " to " + std::to_string(begin + size) +
                             " of a segment are damaged",
                         where, "add its pictures to a new index, or restore the file");
    }
    if (read) read(size);
  }
  for (int64_t row = 0; row < columns.rows(); ++row) {
    const std::string fault = fault_of(columns, row);
    if (!fault.empty()) no_segment("row " + std::to_string(row) + " has " + fault, where);
  }
}

}  // namespace segment_format

StoredBox stored_box(const Box& box) {
  return {in_steps(box.x0), in_steps(box.y0), in_steps(box.x1), in_steps(box.y1)};
}

Box box_of(const StoredBox& stored) {
  const auto unit = [](uint16_t steps) { return static_cast<float>(steps) / 65535.0f; };
  return {unit(stored.x0), unit(stored.y0), unit(stored.x1), unit(stored.y1)};
}

int64_t SegmentColumns::first_row(int64_t row) const {
  while (row > 0 && image[row - 1] == image[row]) --row;
  return row;
}

int64_t SegmentColumns::end_row(int64_t row) const {
  const uint32_t own = image[row];
  while (row < rows() && image[row] == own) ++row;
  return row;
}

SegmentColumns::Range SegmentColumns::rows_of(uint32_t wanted) const {
  const auto [from, to] = std::equal_range(image, image + rows(), wanted);
  return {from - image, to - image};
}

std::vector<float> SegmentColumns::vector(int64_t row) const {
  std::vector<float> result;
  result.reserve(static_cast<size_t>(width));
  const float unit = scan.unit == nullptr ? 0 : scan.unit[row];
  for (int64_t i = 0; i < width; ++i)
    result.push_back(kernels::float_of_16(scan.exact[row * width + i], unit));
  return result;
}

SegmentColumns read_segment(std::span<const std::byte> bytes, std::string_view where) {
  const auto header = segment_format::read_header(bytes, where);
  const segment_format::Places places(header);
  const auto at = [&]<typename T>(uint64_t offset, const T*& column) {
    column = reinterpret_cast<const T*>(bytes.data() + offset);
  };
  SegmentColumns columns;
  columns.width = header.width;
  columns.scan.rows = static_cast<int64_t>(header.rows);
  at(places.values, columns.scan.values);
  at(places.scale, columns.scan.scale);
  at(places.sums, columns.scan.sums);
  at(places.exact, columns.scan.exact);
  at(places.image, columns.image);
  at(places.box, columns.box);
  if (segment_format::has_quality(header.version)) at(places.quality, columns.quality);
  if (segment_format::has_units(header.version)) at(places.unit, columns.scan.unit);
  return columns;
}

Segment::Segment(const std::filesystem::path& path)
    : path_(path.string()), map_(path), columns_(read_segment(map_.bytes(), path_)) {}

uint32_t Segment::checksum() const {
  const uint64_t body = segment_format::read_header(map_.bytes(), path_).body;
  return crc32c(text_of(map_.bytes().subspan(body)));
}

void Segment::verify(const std::function<void(uint64_t bytes)>& read) const {
  segment_format::verify(map_.bytes(), path_, read);
}

}  // namespace opencloc

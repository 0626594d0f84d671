#include "opencloc/index/segment.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "opencloc/base/crc32c.h"
#include "opencloc/base/error.h"
#include "opencloc/kernels/gemm/gemm_int8.h"

namespace opencloc {
namespace {

static_assert(std::endian::native == std::endian::little, "segments are little-endian");

constexpr char kSegmentMagic[8] = {'O', 'C', 'L', 'O', 'C', 'S', 'E', 'G'};
constexpr uint32_t kSegmentVersion = 1;
constexpr uint64_t kSegmentBlock = 1 << 20;
constexpr uint64_t kAlign = 64;
constexpr const char* kMendSegment = "run 'opencloc index verify', and add its pictures again";

struct SegmentHeader {
  char magic[8];
  uint32_t version;
  uint32_t width;
  uint64_t rows;
  uint64_t body;  // bytes before the checksums
  char unused[28];
  uint32_t crc;  // of the 60 bytes before
};
static_assert(sizeof(SegmentHeader) == 64);

constexpr uint64_t aligned(uint64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

// Where each column begins, and where all of them end.
struct Places {
  uint64_t values, scale, sums, exact, image, box, end;
  Places(uint64_t rows, uint64_t width) {
    const auto stride = static_cast<uint64_t>(kernels::scan_stride(static_cast<int64_t>(width)));
    values = sizeof(SegmentHeader);
    scale = aligned(values + rows * stride);
    sums = aligned(scale + rows * sizeof(float));
    exact = aligned(sums + rows * sizeof(int32_t));
    image = aligned(exact + rows * width * sizeof(kernels::bf16));
    box = aligned(image + rows * sizeof(uint32_t));
    end = aligned(box + rows * sizeof(StoredBox));
  }
};

uint64_t blocks_of(uint64_t body) { return (body + kSegmentBlock - 1) / kSegmentBlock; }

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

[[noreturn]] void no_segment(const std::string& why, std::string_view where) {
  throw Error::input("not a sound segment of an index (" + why + ")", where, kMendSegment);
}

SegmentHeader header_of(std::span<const std::byte> bytes, std::string_view where) {
  SegmentHeader header;
  if (bytes.size() < sizeof header) no_segment("it is shorter than a header", where);
  std::memcpy(&header, bytes.data(), sizeof header);
  if (!std::equal(std::begin(kSegmentMagic), std::end(kSegmentMagic), header.magic))
    no_segment("it begins otherwise", where);
  if (header.version != kSegmentVersion) {
    throw Error::input("a segment of version " + std::to_string(header.version) +
                           ", this program knows " + std::to_string(kSegmentVersion),
                       where, "use a newer OpenCLOC");
  }
  if (header.crc != crc32c(text_of(bytes.first(offsetof(SegmentHeader, crc)))))
    no_segment("its header has another checksum", where);
  // Rows first, so that nothing below overflows: a row takes more than width bytes.
  const bool fits = header.width >= 1 && header.width <= kernels::kMaxScanWidth &&
                    header.rows <= bytes.size() / header.width;
  if (!fits) no_segment("its sizes do not fit the file's", where);
  const Places places(header.rows, header.width);
  const uint64_t whole = places.end + 4 * blocks_of(places.end);
  if (header.body != places.end || bytes.size() != whole) {
    no_segment(
        "it has " + std::to_string(bytes.size()) + " bytes in place of " + std::to_string(whole),
        where);
  }
  return header;
}

uint16_t in_steps(float x) {
  return static_cast<uint16_t>(std::lround(std::clamp(x, 0.0f, 1.0f) * 65535.0f));
}

// A file that is written front to back, with a checksum for every block of it.
class BlockWriter {
 public:
  explicit BlockWriter(const std::filesystem::path& path) : file_(path) {}

  void write(const void* data, uint64_t size) {
    const auto* p = static_cast<const char*>(data);
    while (size > 0) {
      const uint64_t part = std::min(size, kSegmentBlock - file_.size() % kSegmentBlock);
      crc_ = crc32c({p, part}, crc_);
      file_.write(p, part);
      if (file_.size() % kSegmentBlock == 0) end_block();
      p += part;
      size -= part;
    }
  }
  void pad() {
    static constexpr char kZeros[kAlign] = {};
    write(kZeros, aligned(file_.size()) - file_.size());
  }
  // The checksum of the checksums.
  uint32_t commit() {
    if (file_.size() % kSegmentBlock != 0) end_block();
    const std::string_view table(reinterpret_cast<const char*>(crcs_.data()), 4 * crcs_.size());
    file_.write(table);
    file_.commit();
    return crc32c(table);
  }

 private:
  void end_block() {
    crcs_.push_back(crc_);
    crc_ = 0;
  }
  AtomicFile file_;
  std::vector<uint32_t> crcs_;
  uint32_t crc_ = 0;
};

// What is wrong with a row of a file whose checksums are right; empty when nothing is.
std::string fault_of(const SegmentColumns& columns, int64_t row) {
  const int64_t stride = kernels::scan_stride(columns.width);
  const int8_t* values = columns.scan.values + row * stride;
  int32_t sum = 0;
  for (int64_t i = 0; i < stride; ++i) sum += values[i];
  if (sum != columns.scan.sums[row]) return "a wrong sum";
  if (!std::isfinite(columns.scan.scale[row])) return "a scale that is no number";
  if (row > 0 && columns.image[row] < columns.image[row - 1]) return "pictures out of order";
  const StoredBox& box = columns.box[row];
  if (box.x0 > box.x1 || box.y0 > box.y1) return "a box that is inside out";
  return {};
}

}  // namespace

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
  for (int64_t i = 0; i < width; ++i) {
    const uint32_t bits = uint32_t{scan.exact[row * width + i]} << 16;
    result.push_back(std::bit_cast<float>(bits));
  }
  return result;
}

SegmentColumns read_segment(std::span<const std::byte> bytes, std::string_view where) {
  const SegmentHeader header = header_of(bytes, where);
  const Places places(header.rows, header.width);
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
  return columns;
}

Segment::Segment(const std::filesystem::path& path)
    : path_(path.string()), map_(path), columns_(read_segment(map_.bytes(), path_)) {}

uint32_t Segment::checksum() const {
  const uint64_t body = header_of(map_.bytes(), path_).body;
  return crc32c(text_of(map_.bytes().subspan(body)));
}

void Segment::verify(const std::function<void(uint64_t bytes)>& read) const {
  const auto bytes = map_.bytes();
  const uint64_t body = header_of(bytes, path_).body;
  for (uint64_t block = 0; block < blocks_of(body); ++block) {
    const uint64_t begin = block * kSegmentBlock;
    const uint64_t size = std::min(kSegmentBlock, body - begin);
    uint32_t stored;
    std::memcpy(&stored, bytes.data() + body + 4 * block, sizeof stored);
    if (crc32c(text_of(bytes.subspan(begin, size))) != stored) {
      throw Error::input("bytes " + std::to_string(begin) + " to " + std::to_string(begin + size) +
                             " of a segment are damaged",
                         path_, "add its pictures to a new index, or restore the file");
    }
    if (read) read(size);
  }
  for (int64_t row = 0; row < columns_.rows(); ++row) {
    const std::string fault = fault_of(columns_, row);
    if (!fault.empty()) no_segment("row " + std::to_string(row) + " has " + fault, path_);
  }
}

void SegmentRows::add(uint32_t image, const StoredBox& box, std::span<const float> vector) {
  const auto stride = static_cast<size_t>(kernels::scan_stride(width_));
  values_.resize(values_.size() + stride);
  int8_t* values = values_.data() + values_.size() - stride;
  scale_.push_back(0);
  kernels::quantize_weight(vector.data(), 1, width_, values, &scale_.back());
  int32_t sum = 0;
  for (size_t i = 0; i < stride; ++i) sum += values[i];
  sums_.push_back(sum);
  for (const float x : vector) exact_.push_back(kernels::round_to_bf16(x));
  image_.push_back(image);
  box_.push_back(box);
}

SegmentColumns SegmentRows::columns() const {
  return {.width = width_,
          .scan = {.rows = rows(),
                   .values = values_.data(),
                   .scale = scale_.data(),
                   .sums = sums_.data(),
                   .exact = exact_.data()},
          .image = image_.data(),
          .box = box_.data()};
}

uint32_t write_segment(const std::filesystem::path& path, std::span<const SegmentRun> runs) {
  SegmentHeader header{};
  std::copy(std::begin(kSegmentMagic), std::end(kSegmentMagic), header.magic);
  header.version = kSegmentVersion;
  header.width = static_cast<uint32_t>(runs.empty() ? 1 : runs.front().columns->width);
  for (const SegmentRun& run : runs) header.rows += static_cast<uint64_t>(run.end - run.begin);
  header.body = Places(header.rows, header.width).end;
  header.crc = crc32c({reinterpret_cast<const char*>(&header), offsetof(SegmentHeader, crc)});

  BlockWriter file(path);
  file.write(&header, sizeof header);
  // `column(columns)` is a pointer to items of which a row has `each`.
  const auto write_column = [&](int64_t each, auto column) {
    for (const SegmentRun& run : runs) {
      const auto* items = column(*run.columns) + run.begin * each;
      file.write(items, static_cast<uint64_t>((run.end - run.begin) * each) * sizeof *items);
    }
    file.pad();
  };
  const auto width = static_cast<int64_t>(header.width);
  write_column(kernels::scan_stride(width), [](const auto& c) { return c.scan.values; });
  write_column(1, [](const auto& c) { return c.scan.scale; });
  write_column(1, [](const auto& c) { return c.scan.sums; });
  write_column(width, [](const auto& c) { return c.scan.exact; });
  write_column(1, [](const auto& c) { return c.image; });
  write_column(1, [](const auto& c) { return c.box; });
  return file.commit();
}

}  // namespace opencloc

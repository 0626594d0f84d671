#include <algorithm>
#include <cstddef>

#include "opencloc/base/crc32c.h"
#include "opencloc/index/segment.h"
#include "opencloc/index/segment_format.h"
#include "opencloc/kernels/gemm/gemm_int8.h"

namespace opencloc {
namespace {

namespace layout = segment_format;

// A file that is written front to back, with a checksum for every block of it.
class BlockWriter {
 public:
  explicit BlockWriter(const std::filesystem::path& path) : file_(path) {}

  void write(const void* data, uint64_t size) {
    const auto* p = static_cast<const char*>(data);
    while (size > 0) {
      const uint64_t part = std::min(size, layout::kBlock - file_.size() % layout::kBlock);
      crc_ = crc32c({p, part}, crc_);
      file_.write(p, part);
      if (file_.size() % layout::kBlock == 0) end_block();
      p += part;
      size -= part;
    }
  }
  void pad() {
    static constexpr char kZeros[layout::kAlign] = {};
    write(kZeros, layout::aligned(file_.size()) - file_.size());
  }
  // The checksum of the checksums.
  uint32_t commit() {
    if (file_.size() % layout::kBlock != 0) end_block();
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

}  // namespace

void SegmentRows::add(uint32_t image, const StoredBox& box, std::span<const float> vector,
                      uint16_t quality) {
  // Both kinds of values come from the 16-bit ones, so that a vector that was read out and is
  // stored again gives the same row.
  const float unit = kernels::unit16_of(vector.data(), width_);
  unit_.push_back(unit);
  exact_.resize(exact_.size() + vector.size());
  uint16_t* exact = exact_.data() + exact_.size() - vector.size();
  kernels::round_to_16(vector.data(), width_, unit, exact);
  std::vector<float> rounded;
  rounded.reserve(vector.size());
  for (size_t i = 0; i < vector.size(); ++i)
    rounded.push_back(kernels::float_of_16(exact[i], unit));
  const auto stride = static_cast<size_t>(kernels::scan_stride(width_));
  values_.resize(values_.size() + stride);
  int8_t* values = values_.data() + values_.size() - stride;
  scale_.push_back(0);
  kernels::quantize_weight(rounded.data(), 1, width_, values, &scale_.back());
  int32_t sum = 0;
  for (size_t i = 0; i < stride; ++i) sum += values[i];
  sums_.push_back(sum);
  image_.push_back(image);
  box_.push_back(box);
  quality_.push_back(quality);
  any_quality_ |= quality != kFullQuality;
}

SegmentColumns SegmentRows::columns() const {
  return {.width = width_,
          .scan = {.rows = rows(),
                   .values = values_.data(),
                   .scale = scale_.data(),
                   .sums = sums_.data(),
                   .exact = exact_.data(),
                   .unit = unit_.data()},
          .image = image_.data(),
          .box = box_.data(),
          .quality = any_quality_ ? quality_.data() : nullptr};
}

uint32_t write_segment(const std::filesystem::path& path, std::span<const SegmentRun> runs) {
  layout::Header header{};
  std::copy(std::begin(layout::kMagic), std::end(layout::kMagic), header.magic);
  const bool rated = std::any_of(runs.begin(), runs.end(), [](const SegmentRun& run) {
    return run.columns->quality != nullptr;
  });
  const bool units = std::any_of(runs.begin(), runs.end(), [](const SegmentRun& run) {
    return run.columns->scan.unit != nullptr;
  });
  header.version = layout::version_of(rated, units);
  header.width = static_cast<uint32_t>(runs.empty() ? 1 : runs.front().columns->width);
  for (const SegmentRun& run : runs) header.rows += static_cast<uint64_t>(run.end - run.begin);
  header.body = layout::Places(header).end;
  header.crc = crc32c({reinterpret_cast<const char*>(&header), offsetof(layout::Header, crc)});

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
  // The same of a column that a run may lack: `otherwise` for its rows then.
  const auto write_optional = [&](auto otherwise, auto column) {
    for (const SegmentRun& run : runs) {
      const auto count = static_cast<size_t>(run.end - run.begin);
      const auto* items = column(*run.columns);
      const std::vector<decltype(otherwise)> same(items == nullptr ? count : 0, otherwise);
      items = items == nullptr ? same.data() : items + run.begin;
      file.write(items, count * sizeof *items);
    }
    file.pad();
  };
  if (rated) write_optional(kFullQuality, [](const auto& c) { return c.quality; });
  if (units) write_optional(0.0f, [](const auto& c) { return c.scan.unit; });
  return file.commit();
}

}  // namespace opencloc

// A segment of an index: as it stands, and again with a header and checksums that fit, so that any
// content of the columns gets through to those who use them.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "fuzz/fuzz_target.h"
#include "opencloc/base/crc32c.h"
#include "opencloc/index/segment_format.h"

namespace opencloc {
namespace {

// A copy that begins where a map does: at a multiple of 64.
class Aligned {
 public:
  explicit Aligned(std::string_view text)
      : size_(text.size()),
        data_(std::aligned_alloc(64, segment_format::aligned(size_ + 1)), std::free) {
    if (size_ > 0) std::memcpy(data_.get(), text.data(), size_);
  }
  std::span<const std::byte> bytes() const { return {static_cast<std::byte*>(data_.get()), size_}; }

 private:
  size_t size_;
  std::unique_ptr<void, void (*)(void*)> data_;
};

// What a search asks of every row.
void use(const SegmentColumns& columns) {
  int64_t sum = 0;
  for (int64_t row = 0; row < columns.rows(); ++row) {
    const int64_t first = columns.first_row(row), end = columns.end_row(row);
    const auto range = columns.rows_of(columns.image[row]);
    if (first > row || end <= row || range.begin < 0 || range.end > columns.rows()) std::abort();
    sum += static_cast<int64_t>(columns.vector(row).size()) + columns.scan.sums[row] +
           columns.scan.values[row * kernels::scan_stride(columns.width)] +
           (columns.quality == nullptr ? 0 : columns.quality[row]);
    if (!box_of(columns.box[row]).finite()) std::abort();
  }
  asm volatile("" : : "r"(sum));  // used, so that nothing above is left out
}

// The text behind a header for as many rows of its width as it holds.
std::string with_header(std::string_view text) {
  segment_format::Header header{};
  std::copy(std::begin(segment_format::kMagic), std::end(segment_format::kMagic), header.magic);
  const int kind = text.size() > 1 ? text[1] : 0;
  header.version = segment_format::version_of((kind & 1) != 0, (kind & 2) != 0);
  header.width = 1 + static_cast<uint32_t>(text.empty() ? 0 : static_cast<unsigned char>(text[0]));
  while (segment_format::Places(header.rows + 1, header.width, header.version).end <=
         text.size() + sizeof header)
    ++header.rows;
  header.body = segment_format::Places(header).end;
  header.crc =
      crc32c({reinterpret_cast<const char*>(&header), offsetof(segment_format::Header, crc)});
  std::string file(reinterpret_cast<const char*>(&header), sizeof header);
  file.append(text.substr(0, header.body - sizeof header));
  file.resize(header.body);
  const uint32_t crc = crc32c(file);  // one block: inputs are far below a MiB
  return file.append(reinterpret_cast<const char*>(&crc), sizeof crc);
}

}  // namespace
}  // namespace opencloc

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace opencloc;
  fuzz(data, size, [](std::string_view text) {
    const Aligned copy(text);
    use(read_segment(copy.bytes(), "fuzz"));
    segment_format::verify(copy.bytes(), "fuzz");
  });
  return fuzz(data, size, [](std::string_view text) {
    const Aligned copy(with_header(text));
    use(read_segment(copy.bytes(), "fuzz"));
    segment_format::verify(copy.bytes(), "fuzz");
  });
}

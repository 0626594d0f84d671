// The layout of a segment's file (segment.h), for those who read and write it.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "opencloc/index/segment.h"
#include "opencloc/kernels/scan/scan.h"

namespace opencloc::segment_format {

static_assert(std::endian::native == std::endian::little, "segments are little-endian");

inline constexpr char kMagic[8] = {'O', 'C', 'L', 'O', 'C', 'S', 'E', 'G'};
// 1: neither column, 2: qualities, 3: units, 4: both. Rows of programs that knew 1 and 2 alone keep
// those versions.
inline constexpr uint32_t kLastVersion = 4;
constexpr uint32_t version_of(bool rated, bool units) {
  return 1 + (rated ? 1 : 0) + (units ? 2 : 0);
}
constexpr bool has_quality(uint32_t version) { return version == 2 || version == 4; }
constexpr bool has_units(uint32_t version) { return version == 3 || version == 4; }
inline constexpr uint64_t kBlock = 1 << 20;  // bytes that have a checksum
inline constexpr uint64_t kAlign = 64;

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t width;
  uint64_t rows;
  uint64_t body;  // bytes before the checksums
  char unused[28];
  uint32_t crc;  // of the 60 bytes before
};
static_assert(sizeof(Header) == 64);

constexpr uint64_t aligned(uint64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }
constexpr uint64_t blocks_of(uint64_t body) { return (body + kBlock - 1) / kBlock; }

// Where each column begins, and where all of them end.
struct Places {
  uint64_t values, scale, sums, exact, image, box, quality, unit, end;
  explicit Places(const Header& header) : Places(header.rows, header.width, header.version) {}
  Places(uint64_t rows, uint64_t width, uint32_t version) {
    const auto stride = static_cast<uint64_t>(kernels::scan_stride(static_cast<int64_t>(width)));
    values = sizeof(Header);
    scale = aligned(values + rows * stride);
    sums = aligned(scale + rows * sizeof(float));
    exact = aligned(sums + rows * sizeof(int32_t));
    image = aligned(exact + rows * width * sizeof(uint16_t));
    box = aligned(image + rows * sizeof(uint32_t));
    quality = aligned(box + rows * sizeof(StoredBox));
    unit = has_quality(version) ? aligned(quality + rows * sizeof(uint16_t)) : quality;
    end = has_units(version) ? aligned(unit + rows * sizeof(float)) : unit;
  }
};

// Throw Error (input) naming `where`: unless header and sizes fit together; unless the contents are
// sound, too (Segment::verify).
Header read_header(std::span<const std::byte> bytes, std::string_view where);
void verify(std::span<const std::byte> bytes, std::string_view where,
            const std::function<void(uint64_t bytes)>& read = {});

}  // namespace opencloc::segment_format

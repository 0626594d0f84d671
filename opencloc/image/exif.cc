#include "opencloc/image/exif.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace opencloc {
namespace {

using namespace std::string_view_literals;

// A number of `size` bytes at bytes[at]; 0 outside.
uint32_t number_at(std::string_view bytes, size_t at, size_t size, bool big_endian) {
  if (at > bytes.size() || size > bytes.size() - at) return 0;
  uint32_t value = 0;
  for (size_t i = 0; i < size; ++i) {
    const auto byte = static_cast<unsigned char>(bytes[at + i]);
    value |= uint32_t{byte} << 8 * (big_endian ? size - 1 - i : i);
  }
  return value;
}

// The tag in the first directory of a TIFF block, which is what EXIF is.
int orientation_of_tiff(std::string_view tiff) {
  const bool big_endian = tiff.starts_with("MM\0*"sv);
  if (!big_endian && !tiff.starts_with("II*\0"sv)) return 1;
  const size_t directory = number_at(tiff, 4, 4, big_endian);
  const size_t entries = number_at(tiff, directory, 2, big_endian);
  for (size_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + 12 * i;
    if (entry + 12 > tiff.size()) return 1;
    if (number_at(tiff, entry, 2, big_endian) != 0x0112) continue;
    const size_t size = number_at(tiff, entry + 2, 2, big_endian) == 4 ? 4 : 2;  // LONG or SHORT
    const uint32_t value = number_at(tiff, entry + 8, size, big_endian);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

int orientation_of_block(std::string_view block) {
  if (block.starts_with("Exif\0\0"sv)) block.remove_prefix(6);
  return orientation_of_tiff(block);
}

int orientation_of_jpeg(std::string_view bytes) {
  for (size_t at = 2; at + 4 <= bytes.size() && bytes[at] == '\xff';) {
    const auto marker = static_cast<unsigned char>(bytes[at + 1]);
    if (marker == 0xFF) {  // a fill byte
      ++at;
      continue;
    }
    if (marker == 0xDA || marker == 0xD9) return 1;  // the pixels begin
    const size_t length = number_at(bytes, at + 2, 2, true);
    const std::string_view content = bytes.substr(at + 4);
    if (marker == 0xE1 && length >= 8 && content.starts_with("Exif\0\0"sv)) {
      return orientation_of_block(content.substr(0, length - 2));
    }
    at += 2 + std::max<size_t>(length, 2);
  }
  return 1;
}

int orientation_of_png(std::string_view bytes) {
  for (size_t at = 8; at + 12 <= bytes.size();) {
    const size_t length = number_at(bytes, at, 4, true);
    const std::string_view type = bytes.substr(at + 4, 4);
    if (type == "eXIf") return orientation_of_block(bytes.substr(at + 8, length));
    if (type == "IEND") return 1;
    at += 12 + length;
  }
  return 1;
}

int orientation_of_webp(std::string_view bytes) {
  for (size_t at = 12; at + 8 <= bytes.size();) {
    const size_t length = number_at(bytes, at + 4, 4, false);
    if (bytes.substr(at, 4) == "EXIF") return orientation_of_block(bytes.substr(at + 8, length));
    at += 8 + length + length % 2;
  }
  return 1;
}

}  // namespace

int exif_orientation(std::string_view bytes) {
  if (bytes.starts_with("\xff\xd8")) return orientation_of_jpeg(bytes);
  if (bytes.starts_with("\x89PNG\r\n\x1a\n")) return orientation_of_png(bytes);
  if (bytes.starts_with("RIFF") && bytes.substr(0, 12).ends_with("WEBP")) {
    return orientation_of_webp(bytes);
  }
  return 1;
}

Box box_as_stored(const Box& shown, int orientation) {
  // Where a point of the shown picture lies in the stored one.
  const auto stored = [orientation](float x, float y) -> std::pair<float, float> {
    switch (orientation) {
      case 2:
        return {1 - x, y};
      case 3:
        return {1 - x, 1 - y};
      case 4:
        return {x, 1 - y};
      case 5:
        return {y, x};
      case 6:
        return {y, 1 - x};
      case 7:
        return {1 - y, 1 - x};
      case 8:
        return {1 - y, x};
      default:
        return {x, y};
    }
  };
  const auto [ax, ay] = stored(shown.x0, shown.y0);
  const auto [bx, by] = stored(shown.x1, shown.y1);
  return {std::min(ax, bx), std::min(ay, by), std::max(ax, bx), std::max(ay, by)};
}

}  // namespace opencloc

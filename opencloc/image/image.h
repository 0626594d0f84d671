// An 8-bit RGB picture, the only pixel type past the decoders.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace opencloc {

struct DecodeOptions {
  // Larger pictures are refused before their pixels are allocated (Pillow's bomb limit).
  int64_t max_pixels = 178'956'970;
  // Speed for exactness: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size as long as both sides
  // stay at or above this (Pillow's draft mode). 0 = always the full picture.
  int shrink_to = 0;
};

struct Image {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> pixels;  // [height, width, 3], RGB
  // Where a JPEG was decoded smaller (DecodeOptions::shrink_to): pixel x here is [x, x + 1) *
  // shrink there, and the last row and column may reach past the end of the stored picture.
  // to_canvas() reckons with the stored size, so that everything lies where it would have.
  int shrink = 1;
  int stored_width = 0, stored_height = 0;  // 0: as above

  Image() = default;
  Image(int w, int h) : width(w), height(h), pixels(static_cast<size_t>(w) * h * 3) {}

  // Decodes by content (never by file name). Throws Error (input): what is wrong, naming `name`.
  // Grey, palette, 16-bit, CMYK and alpha become RGB as Pillow's convert("RGB") does.
  static Image decode(std::string_view bytes, std::string_view name,
                      const DecodeOptions& options = {});
  static Image read(const std::filesystem::path& path, const DecodeOptions& options = {});

  // Throws Error (input) unless there are 3 bytes per pixel and the sizes agree: the members are
  // public, and whoever reads the pixels goes by width and height.
  void check() const;

  int full_width() const { return stored_width > 0 ? stored_width : width; }
  int full_height() const { return stored_height > 0 ? stored_height : height; }
  uint8_t* row(int y) { return pixels.data() + static_cast<size_t>(y) * width * 3; }
  const uint8_t* row(int y) const { return pixels.data() + static_cast<size_t>(y) * width * 3; }
};

// What the bytes hold, decoded far enough to be sure.
struct ImageInfo {
  bool ok = false;
  std::string format;  // "JPEG", "PNG", "WEBP", ... ; empty when unknown
  int width = 0;
  int height = 0;
  std::string mode;   // Pillow's names: "RGB", "RGBA", "L", "LA", "P", "1", "I", "CMYK", ...
  std::string error;  // empty when ok
};
// Never throws: a broken picture is an answer, not an error.
ImageInfo probe_image(std::string_view bytes, const DecodeOptions& options = {});

}  // namespace opencloc

// Windows and OS/2 bitmaps: 1, 4, 8, 16, 24 and 32 bits, RLE4, RLE8 and the usual bit fields.
#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "opencloc/image/codec.h"

namespace opencloc::detail {
namespace {

constexpr uint32_t kRaw = 0, kRle8 = 1, kRle4 = 2, kBitFields = 3;

// Little-endian reads that refuse to leave the file.
struct Bytes {
  std::string_view data;

  uint8_t u8(size_t at) const {
    if (at >= data.size()) throw CodecError("the file is truncated");
    return static_cast<uint8_t>(data[at]);
  }
  uint32_t u16(size_t at) const { return u8(at) | static_cast<uint32_t>(u8(at + 1)) << 8; }
  uint32_t u32(size_t at) const { return u16(at) | u16(at + 2) << 16; }
};

struct Header {
  int64_t width = 0, height = 0;
  bool top_down = false;
  uint32_t bits = 0;
  uint32_t compression = kRaw;
  uint32_t colours = 0;
  size_t colour_bytes = 4;
  size_t palette_at = 0;
  size_t pixels_at = 0;
  std::array<uint32_t, 4> masks{};  // red, green, blue, alpha
};

Header read_header(const Bytes& bytes) {
  Header header;
  header.pixels_at = bytes.u32(10);
  const uint32_t size = bytes.u32(14);
  header.palette_at = 14 + static_cast<size_t>(size);
  if (size == 12) {  // OS/2 1.x
    header.width = bytes.u16(18);
    header.height = bytes.u16(20);
    header.bits = bytes.u16(24);
    header.colour_bytes = 3;
  } else if (size == 40 || size == 64 || size == 108 || size == 124) {
    header.width = bytes.u32(18);
    header.height = bytes.u32(22);
    header.top_down = bytes.u8(25) == 0xff;
    if (header.top_down) header.height = (int64_t{1} << 32) - header.height;
    header.bits = bytes.u16(28);
    header.compression = bytes.u32(30);
    header.colours = bytes.u32(46);
    if (header.compression == kBitFields) {
      const int masks = size == 40 ? 3 : 4;
      for (int i = 0; i < masks; ++i) header.masks[i] = bytes.u32(54 + 4 * i);
      if (size == 40) header.palette_at += 12;
    }
  } else {
    throw CodecError("a bitmap header of " + std::to_string(size) + " bytes is not supported");
  }
  if (header.bits > 32) {
    throw CodecError(std::to_string(header.bits) + " bits a pixel are not supported");
  }
  if (header.colours == 0 && header.bits <= 16) header.colours = 1u << header.bits;
  // Some writers forget the palette when they say where the pixels are.
  if (header.pixels_at == 14 + size && header.bits <= 8)
    header.pixels_at += 4 * static_cast<size_t>(header.colours);
  return header;
}

// Where red, green and blue lie in a pixel, and how many bits they have.
struct Channels {
  int shift[3];
  int bits[3];
  const char* mode;
};

Channels direct_channels(const Header& header) {
  constexpr Channels k555{{10, 5, 0}, {5, 5, 5}, "RGB"}, k565{{11, 5, 0}, {5, 6, 5}, "RGB"};
  constexpr Channels kBgr{{16, 8, 0}, {8, 8, 8}, "RGB"}, kBgra{{16, 8, 0}, {8, 8, 8}, "RGBA"};
  constexpr Channels kXbgr{{24, 16, 8}, {8, 8, 8}, "RGB"}, kAbgr{{24, 16, 8}, {8, 8, 8}, "RGBA"};
  constexpr Channels kRgba{{0, 8, 16}, {8, 8, 8}, "RGBA"};
  if (header.compression == kRaw) return header.bits == 16 ? k555 : kBgr;
  using Masks = std::array<uint32_t, 4>;
  const Masks& m = header.masks;
  if (header.bits == 32) {
    if (m == Masks{0xff0000, 0xff00, 0xff, 0}) return kBgr;
    if (m == Masks{0xff000000, 0xff0000, 0xff00, 0}) return kXbgr;
    if (m == Masks{0xff000000, 0xff0000, 0xff00, 0xff}) return kAbgr;
    if (m == Masks{0xff, 0xff00, 0xff0000, 0xff000000}) return kRgba;
    if (m == Masks{0xff0000, 0xff00, 0xff, 0xff000000} || m == Masks{}) return kBgra;
  }
  const Masks rgb{m[0], m[1], m[2], 0};
  if (header.bits == 24 && rgb == Masks{0xff0000, 0xff00, 0xff, 0}) return kBgr;
  if (header.bits == 16 && rgb == Masks{0xf800, 0x7e0, 0x1f, 0}) return k565;
  if (header.bits == 16 && rgb == Masks{0x7c00, 0x3e0, 0x1f, 0}) return k555;
  throw CodecError("this layout of bit fields is not supported");
}

void read_direct(const Bytes& bytes, const Header& header, const Channels& channels, Image& image) {
  const size_t stride = (static_cast<size_t>(image.width) * header.bits + 31) / 32 * 4;
  const size_t step = header.bits / 8;
  for (int y = 0; y < image.height; ++y) {
    const size_t row = header.pixels_at + stride * y;
    bytes.u8(row + step * image.width - 1);  // the whole row is there
    uint8_t* out = image.row(header.top_down ? y : image.height - 1 - y);
    for (int x = 0; x < image.width; ++x) {
      uint32_t pixel = 0;
      std::memcpy(&pixel, bytes.data.data() + row + step * x, step);
      for (int c = 0; c < 3; ++c) {
        const uint32_t most = (1u << channels.bits[c]) - 1;
        *out++ = static_cast<uint8_t>(((pixel >> channels.shift[c]) & most) * 255 / most);
      }
    }
  }
}

// One index a pixel, top row of the file first.
std::vector<uint8_t> read_indices(const Bytes& bytes, const Header& header) {
  std::vector<uint8_t> indices(static_cast<size_t>(header.width) * header.height);
  const size_t stride = (static_cast<size_t>(header.width) * header.bits + 31) / 32 * 4;
  const uint32_t per_byte = 8 / header.bits;
  const uint32_t most = (1u << header.bits) - 1;
  size_t out = 0;
  for (int64_t y = 0; y < header.height; ++y) {
    for (int64_t x = 0; x < header.width; ++x) {
      const uint8_t byte = bytes.u8(header.pixels_at + stride * y + x / per_byte);
      const uint32_t place = per_byte - 1 - static_cast<uint32_t>(x % per_byte);
      indices[out++] = static_cast<uint8_t>((byte >> (place * header.bits)) & most);
    }
  }
  return indices;
}

// As Pillow: a row may not be overrun by a run, and a picture that ends early is an error.
std::vector<uint8_t> read_rle(const Bytes& bytes, const Header& header) {
  const bool rle4 = header.compression == kRle4;
  const size_t width = header.width;
  const size_t total = width * header.height;
  std::vector<uint8_t> indices;
  indices.reserve(total);
  const auto put = [&](uint8_t index) {
    if (indices.size() < total) indices.push_back(index);
  };
  size_t at = header.pixels_at;
  size_t x = 0;
  while (indices.size() < total) {
    const uint8_t count = bytes.u8(at), byte = bytes.u8(at + 1);
    at += 2;
    if (count > 0) {
      const size_t run = x + count > width ? width - std::min(x, width) : count;
      for (size_t i = 0; i < run; ++i) {
        put(!rle4 ? byte : i % 2 ? byte & 15 : byte >> 4);
      }
      x += run;
    } else if (byte == 0) {  // end of line
      while (indices.size() % width != 0) put(0);
      x = 0;
    } else if (byte == 1) {
      break;                 // end of bitmap
    } else if (byte == 2) {  // skip
      const size_t skip = bytes.u8(at) + bytes.u8(at + 1) * width;
      at += 2;
      for (size_t i = 0; i < skip && indices.size() < total; ++i) put(0);
      x = indices.size() % width;
    } else {  // literal
      const size_t length = rle4 ? byte / 2 : byte;
      for (size_t i = 0; i < length; ++i) {
        const uint8_t value = bytes.u8(at + i);
        if (rle4) put(value >> 4);
        put(rle4 ? value & 15 : value);
      }
      x += byte;
      at += length;
      at += at % 2;  // words
    }
  }
  if (indices.size() < total) throw CodecError("the file is truncated");
  return indices;
}

// Pillow calls a palette of plain greys what it is.
const char* palette_mode(const uint8_t (*palette)[3], uint32_t colours) {
  const auto grey = [&](uint32_t index, uint32_t value) {
    return std::all_of(palette[index], palette[index] + 3, [&](uint8_t c) { return c == value; });
  };
  if (colours == 2) return grey(0, 0) && grey(1, 255) ? "1" : "P";
  for (uint32_t i = 0; i < colours; ++i) {
    if (i > 255 || !grey(i, i)) return "P";
  }
  return "L";
}

}  // namespace

void decode_bmp(std::string_view data, const DecodeOptions& options, ImageInfo& info,
                Image& image) {
  const Bytes bytes{data};
  const Header header = read_header(bytes);
  if (header.compression > kBitFields) throw CodecError("this compression is not supported");
  const bool indexed = header.bits == 1 || header.bits == 4 || header.bits == 8;
  if (header.bits == 16 || header.bits == 24 || header.bits == 32) {
    if (header.compression == kRle8 || header.compression == kRle4) {
      throw CodecError("run lengths need a palette");
    }
    const Channels channels = direct_channels(header);
    info.mode = channels.mode;
    set_size(info, header.width, header.height, options);
    bytes.u8(header.pixels_at +
             (info.height - 1) * ((static_cast<size_t>(info.width) * header.bits + 31) / 32 * 4));
    image = Image(info.width, info.height);
    return read_direct(bytes, header, channels, image);
  }
  if (!indexed || header.compression == kBitFields) {
    throw CodecError(std::to_string(header.bits) + " bits a pixel are not supported");
  }

  uint8_t palette[256][3];  // entries that the file leaves out are greys, as in Pillow
  for (int i = 0; i < 256; ++i) std::memset(palette[i], i, 3);
  if (header.colours < 1 || header.colours > 65536)
    throw CodecError("the palette has no sane size");
  for (size_t i = 0; i < std::min<size_t>(header.colours, 256); ++i) {
    const size_t entry = header.palette_at + i * header.colour_bytes;
    for (int c = 0; c < 3; ++c) palette[i][c] = bytes.u8(entry + 2 - c);  // blue, green, red
  }
  info.mode = palette_mode(palette, header.colours);
  set_size(info, header.width, header.height, options);
  const auto indices =
      header.compression == kRaw ? read_indices(bytes, header) : read_rle(bytes, header);
  image = Image(info.width, info.height);
  const uint8_t* index = indices.data();
  for (int y = 0; y < image.height; ++y) {
    uint8_t* out = image.row(header.top_down ? y : image.height - 1 - y);
    for (int x = 0; x < image.width; ++x, out += 3) std::memcpy(out, palette[*index++], 3);
  }
}

}  // namespace opencloc::detail

#include "opencloc/image/image.h"

#include <array>
#include <limits>
#include <new>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/not_fetched.h"
#include "opencloc/image/codec.h"

namespace opencloc {
namespace detail {

void set_size(ImageInfo& info, int64_t width, int64_t height, const DecodeOptions& options) {
  if (width < 1 || height < 1) throw CodecError("the picture is empty");
  if (width > std::numeric_limits<int>::max() / 4 || height > std::numeric_limits<int>::max() / 4) {
    throw CodecError("a side is longer than any picture's");
  }
  info.width = static_cast<int>(width);
  info.height = static_cast<int>(height);
  if (width * height > options.max_pixels) {
    throw CodecError(std::to_string(width) + "x" + std::to_string(height) +
                     " is more than the limit of " + std::to_string(options.max_pixels) +
                     " pixels");
  }
}

}  // namespace detail

namespace {

struct Format {
  const char* name;
  detail::Decode decode;  // nullptr: known, not supported
};

bool has(std::string_view bytes, size_t at, std::string_view magic) {
  return bytes.size() >= at && bytes.substr(at, magic.size()) == magic;
}

// By content, as Pillow does; nothing depends on a file's name.
Format sniff(std::string_view bytes) {
  using namespace std::string_view_literals;
  if (has(bytes, 0, "\xff\xd8\xff"sv)) return {"JPEG", detail::decode_jpeg};
  if (has(bytes, 0, "\x89PNG\r\n\x1a\n"sv)) return {"PNG", detail::decode_png};
  if (has(bytes, 0, "RIFF"sv) && has(bytes, 8, "WEBPVP8"sv)) return {"WEBP", detail::decode_webp};
  if (has(bytes, 0, "GIF87a"sv) || has(bytes, 0, "GIF89a"sv)) return {"GIF", detail::decode_gif};
  if (has(bytes, 0, "BM"sv)) return {"BMP", detail::decode_bmp};
  if (bytes.size() > 2 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '6') {
    return {"PPM", detail::decode_pnm};
  }
  if (has(bytes, 0, "II*\0"sv) || has(bytes, 0, "MM\0*"sv)) return {"TIFF", nullptr};
  if (has(bytes, 4, "ftypavif"sv)) return {"AVIF", nullptr};
  if (has(bytes, 4, "ftyphei"sv) || has(bytes, 4, "ftypmif1"sv)) return {"HEIF", nullptr};
  if (has(bytes, 0, "\0\0\0\x0cjP  "sv)) return {"JPEG2000", nullptr};
  if (has(bytes, 0, "\xff\x0a"sv) || has(bytes, 0, "\0\0\0\x0cJXL "sv)) return {"JXL", nullptr};
  if (has(bytes, 0, "8BPS"sv)) return {"PSD", nullptr};
  if (has(bytes, 0, "%!PS"sv)) return {"EPS", nullptr};
  if (has(bytes, 0, "\0\0\x01\0"sv)) return {"ICO", nullptr};
  if (has(bytes, 0, "DDS "sv)) return {"DDS", nullptr};
  if (has(bytes, 0, "qoif"sv)) return {"QOI", nullptr};
  return {"", nullptr};
}

// Throws CodecError.
void decode_any(std::string_view bytes, const DecodeOptions& options, ImageInfo& info,
                Image& image) {
  constexpr const char* kSupported = "JPEG, PNG, WebP, GIF, BMP and PNM are supported";
  const Format format = sniff(bytes);
  info.format = format.name;
  if (bytes.empty()) throw detail::CodecError("the file is empty");
  if (const auto other = stand_in(bytes.substr(0, 256)); !other.empty() && !format.decode) {
    throw detail::CodecError("it is " + std::string(other) + ", the picture was not fetched");
  }
  if (info.format.empty()) {
    throw detail::CodecError(std::string("not a picture we know: ") + kSupported);
  }
  if (!format.decode) throw detail::CodecError(info.format + " is not supported: " + kSupported);
  try {
    format.decode(bytes, options, info, image);
  } catch (const std::bad_alloc&) {
    throw detail::CodecError("not enough memory for its pixels");
  }
}

}  // namespace

Image Image::decode(std::string_view bytes, std::string_view name, const DecodeOptions& options) {
  ImageInfo info;
  Image image;
  try {
    decode_any(bytes, options, info, image);
  } catch (const detail::CodecError& error) {
    const std::string kind = info.format.empty() ? "" : info.format + " ";
    throw Error::input("the " + kind + "picture does not decode: " + error.what(), name,
                       "replace it or leave it out");
  }
  return image;
}

Image Image::read(const std::filesystem::path& path, const DecodeOptions& options) {
  return decode(read_file(path), path.string(), options);
}

ImageInfo probe_image(std::string_view bytes, const DecodeOptions& options) {
  ImageInfo info;
  try {
    Image image;
    decode_any(bytes, options, info, image);
    info.ok = true;
  } catch (const std::exception& error) {
    info.error = error.what();
  }
  return info;
}

}  // namespace opencloc

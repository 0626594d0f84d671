#include <png.h>

#include "opencloc/base/error.h"
#include "opencloc/image/encode.h"

namespace opencloc {

std::string encode_png(const Image& image) {
  if (image.width < 1 || image.height < 1) throw Error::input("the picture is empty", "PNG");
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  header.width = static_cast<png_uint_32>(image.width);
  header.height = static_cast<png_uint_32>(image.height);
  header.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(header);
  std::string bytes(size, '\0');
  constexpr int kEightBits = 0, kPackedRows = 0;
  if (!png_image_write_to_memory(&header, bytes.data(), &size, kEightBits, image.pixels.data(),
                                 kPackedRows, nullptr)) {
    throw Error::failed(std::string("the picture cannot be written: ") + header.message, "PNG");
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace opencloc

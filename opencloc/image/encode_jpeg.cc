#include <csetjmp>
#include <cstdio>
// jpeglib.h needs cstdio before it.
#include <cstdlib>

#include <jpeglib.h>

#include "opencloc/base/error.h"
#include "opencloc/image/encode.h"

namespace opencloc {
namespace {

struct ErrorManager {
  jpeg_error_mgr base;
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void on_error(j_common_ptr info) {
  auto* errors = reinterpret_cast<ErrorManager*>(info->err);
  info->err->format_message(info, errors->message);
  std::longjmp(errors->jump, 1);
}

// longjmp skips destructors: the state lives outside write().
struct Writer {
  jpeg_compress_struct info{};
  ErrorManager errors{};
  unsigned char* bytes = nullptr;
  unsigned long size = 0;

  Writer() {
    info.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = on_error;
  }
  ~Writer() {
    jpeg_destroy_compress(&info);
    std::free(bytes);
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  bool write(const Image& image, int quality) {
    if (setjmp(errors.jump)) {
      bytes = nullptr;  // libjpeg may have freed it: rather leak than free twice
      return false;
    }
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, &bytes, &size);
    info.image_width = static_cast<JDIMENSION>(image.width);
    info.image_height = static_cast<JDIMENSION>(image.height);
    info.input_components = 3;
    info.in_color_space = JCS_RGB;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, quality, TRUE);
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < info.image_height) {
      auto* row = const_cast<JSAMPROW>(image.row(static_cast<int>(info.next_scanline)));
      jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    return true;
  }
};

}  // namespace

std::string encode_jpeg(const Image& image, int quality) {
  if (image.width < 1 || image.height < 1) throw Error::input("the picture is empty", "JPEG");
  if (image.width > JPEG_MAX_DIMENSION || image.height > JPEG_MAX_DIMENSION) {
    throw Error::input("a side is longer than a JPEG's may be", "JPEG", "write a PNG");
  }
  if (quality < 1 || quality > 100) {
    throw Error::input("quality " + std::to_string(quality) + " is not in 1..100", "JPEG");
  }
  Writer writer;
  if (!writer.write(image, quality)) {
    throw Error::failed(std::string("the picture cannot be written: ") + writer.errors.message,
                        "JPEG");
  }
  return {reinterpret_cast<const char*>(writer.bytes), writer.size};
}

}  // namespace opencloc

// JPEG through libjpeg-turbo with the settings Pillow uses: slow integer DCT, fancy upsampling.
#include <csetjmp>
#include <cstdio>
// jpeglib.h needs cstdio before it.
#include <string>

#include <jerror.h>
#include <jpeglib.h>

#include "opencloc/image/codec.h"

namespace opencloc::detail {
namespace {

// A progressive file may hold thousands of tiny scans over a huge picture. A real one has about
// ten.
constexpr int kMaxScans = 500;
constexpr int64_t kMaxScanPixels = 4'000'000'000;  // scans x pixels, some 30 s at the very worst

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

[[noreturn]] void fail(j_decompress_ptr info, const char* message) {
  auto* errors = reinterpret_cast<ErrorManager*>(info->err);
  std::snprintf(errors->message, sizeof(errors->message), "%s", message);
  std::longjmp(errors->jump, 1);
}

void ignore_message(j_common_ptr) {}
void ignore_warning(j_common_ptr, int) {}

// libjpeg asks for more only when the file ended too early.
boolean on_truncated(j_decompress_ptr info) { fail(info, "the file is truncated"); }

void limit_scans(j_common_ptr common) {
  auto* info = reinterpret_cast<j_decompress_ptr>(common);
  const int64_t pixels = static_cast<int64_t>(info->image_width) * info->image_height;
  const int64_t scans = info->input_scan_number;
  if (scans > kMaxScans || (scans > 16 && scans * pixels > kMaxScanPixels)) {
    fail(info, "too many progressive scans");
  }
}

// libjpeg's state. longjmp skips destructors, so everything it may jump over lives in here or is
// plain data.
struct Jpeg {
  jpeg_decompress_struct info{};
  ErrorManager errors{};
  jpeg_progress_mgr progress{};

  explicit Jpeg(std::string_view bytes) {
    info.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = on_error;
    errors.base.output_message = ignore_message;
    errors.base.emit_message = ignore_warning;  // damaged data decodes to something, as in Pillow
    ok_ = create(bytes);
  }
  ~Jpeg() { jpeg_destroy_decompress(&info); }
  Jpeg(const Jpeg&) = delete;
  Jpeg& operator=(const Jpeg&) = delete;

  // Each step is false when libjpeg gave up; errors.message says why.
  bool ok() const { return ok_; }
  bool read_header();
  bool start();
  bool read_rows(uint8_t* pixels, size_t row_bytes);
  bool finish();

 private:
  bool create(std::string_view bytes);
  bool ok_ = false;
};

bool Jpeg::create(std::string_view bytes) {
  if (setjmp(errors.jump)) return false;
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  info.src->fill_input_buffer = on_truncated;
  progress.progress_monitor = limit_scans;
  info.progress = &progress;
  return true;
}

bool Jpeg::read_header() {
  if (setjmp(errors.jump)) return false;
  jpeg_read_header(&info, TRUE);
  return true;
}

bool Jpeg::start() {
  if (setjmp(errors.jump)) return false;
  jpeg_start_decompress(&info);
  return true;
}

bool Jpeg::read_rows(uint8_t* pixels, size_t row_bytes) {
  if (setjmp(errors.jump)) return false;
  constexpr int kRows = 16;
  JSAMPROW rows[kRows];
  while (info.output_scanline < info.output_height) {
    for (int i = 0; i < kRows; ++i) rows[i] = pixels + (info.output_scanline + i) * row_bytes;
    const JDIMENSION left = info.output_height - info.output_scanline;
    jpeg_read_scanlines(&info, rows, left < kRows ? left : kRows);
  }
  return true;
}

bool Jpeg::finish() {
  if (setjmp(errors.jump)) return false;
  jpeg_finish_decompress(&info);  // reads on to the end marker
  return true;
}

void require(bool step, const Jpeg& jpeg) {
  if (!step) throw CodecError(jpeg.errors.message);
}

// a * b / 255, rounded as Pillow's MULDIV255 does.
uint8_t multiply(int a, int b) {
  const int product = a * b + 128;
  return static_cast<uint8_t>(((product >> 8) + product) >> 8);
}

// One row of Adobe's inverted CMYK (255 = no ink) to RGB; Pillow always assumes the inversion.
void cmyk_to_rgb(const uint8_t* cmyk, uint8_t* rgb, int width) {
  for (int x = 0; x < width; ++x, cmyk += 4, rgb += 3) {
    const int white = cmyk[3];  // 255 - K
    for (int c = 0; c < 3; ++c) {
      rgb[c] = static_cast<uint8_t>(std::max(0, white - multiply(255 - cmyk[c], white)));
    }
  }
}

unsigned shrink_factor(const ImageInfo& info, int shrink_to) {
  unsigned factor = 1;
  while (shrink_to > 0 && factor < 8) {
    const auto side = static_cast<int>(2 * factor);
    if (info.width / side < shrink_to || info.height / side < shrink_to) break;
    factor *= 2;
  }
  return factor;
}

}  // namespace

void decode_jpeg(std::string_view bytes, const DecodeOptions& options, ImageInfo& info,
                 Image& image) {
  Jpeg jpeg(bytes);
  require(jpeg.ok(), jpeg);
  require(jpeg.read_header(), jpeg);
  switch (jpeg.info.num_components) {
    case 1:
      info.mode = "L";
      break;
    case 3:
      info.mode = "RGB";
      break;
    case 4:
      info.mode = "CMYK";
      break;
    default:
      throw CodecError("a JPEG of " + std::to_string(jpeg.info.num_components) +
                       " components is not supported");
  }
  set_size(info, jpeg.info.image_width, jpeg.info.image_height, options);

  const bool cmyk = jpeg.info.num_components == 4;
  jpeg.info.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  jpeg.info.scale_num = 1;
  jpeg.info.scale_denom = shrink_factor(info, options.shrink_to);
  require(jpeg.start(), jpeg);
  image =
      Image(static_cast<int>(jpeg.info.output_width), static_cast<int>(jpeg.info.output_height));
  image.shrink = static_cast<int>(jpeg.info.scale_denom);
  image.stored_width = info.width;
  image.stored_height = info.height;
  if (cmyk) {
    const size_t row_bytes = 4 * static_cast<size_t>(image.width);
    std::vector<uint8_t> inks(row_bytes * image.height);
    require(jpeg.read_rows(inks.data(), row_bytes), jpeg);
    for (int y = 0; y < image.height; ++y) {
      cmyk_to_rgb(inks.data() + y * row_bytes, image.row(y), image.width);
    }
  } else {
    require(jpeg.read_rows(image.pixels.data(), 3 * static_cast<size_t>(image.width)), jpeg);
  }
  require(jpeg.finish(), jpeg);
}

}  // namespace opencloc::detail

// PNG through libpng, converted as Pillow does.
#include <algorithm>
#include <cctype>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <new>
#include <string>

#include <png.h>

#include "opencloc/image/codec.h"

namespace opencloc::detail {
namespace {

std::string pillow_mode(int type, int depth) {
  switch (type) {
    case PNG_COLOR_TYPE_GRAY:
      return depth == 1 ? "1" : depth == 16 ? "I" : "L";
    case PNG_COLOR_TYPE_PALETTE:
      return "P";
    case PNG_COLOR_TYPE_GRAY_ALPHA:
      return depth == 16 ? "RGBA" : "LA";
    case PNG_COLOR_TYPE_RGB:
      return "RGB";
    default:
      return "RGBA";
  }
}

// The bytes libpng will inflate, filter bytes not counted. zlib packs at most 1032 to 1, so a file
// that is shorter is refused before its pixels are allocated.
void check_enough_data(size_t file_size, const ImageInfo& info, int pixel_bits) {
  const int64_t raw = (static_cast<int64_t>(info.width) * pixel_bits + 7) / 8 * info.height;
  if (raw / 1040 > static_cast<int64_t>(file_size)) throw CodecError("the file is truncated");
}

bool is_chunk_name(std::string_view name) {
  return std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isalpha(c); });
}

// Both work in place: the samples lie at the end of the row's 3 * width bytes, so that writing
// pixel x never overtakes reading sample x + 1.
void palette_to_rgb(const uint8_t (*palette)[3], uint8_t* row, int width) {
  const uint8_t* index = row + 2 * static_cast<size_t>(width);
  for (int x = 0; x < width; ++x)
    std::memcpy(row + 3 * static_cast<size_t>(x), palette[index[x]], 3);
}

// Pillow's mode "I" to RGB clips instead of scaling.
void grey16_to_rgb(uint8_t* row, int width) {
  const uint8_t* sample = row + width;
  for (int x = 0; x < width; ++x) {
    const uint8_t grey = sample[2 * x] ? 255 : sample[2 * x + 1];
    std::memset(row + 3 * static_cast<size_t>(x), grey, 3);
  }
}

// How libpng's rows become RGB.
enum class RowKind { kRgb, kPalette, kGrey16 };

// libpng's push reader: it is fed chunk by chunk, so that a file that ends early is told from one
// that has all its pixels (Pillow accepts those). longjmp skips destructors, so everything it may
// jump over lives in here or is plain data.
class Png {
 public:
  Png(const DecodeOptions& options, ImageInfo& info, Image& image);
  ~Png() { png_destroy_read_struct(&png_, &header_, nullptr); }
  Png(const Png&) = delete;
  Png& operator=(const Png&) = delete;

  // Throws CodecError when libpng gives up.
  void feed(std::string_view bytes);
  bool has_all_rows() const;
  // Turns the samples into RGB.
  void finish();
  void set_file_size(size_t size) { file_size_ = size; }

 private:
  bool process(std::string_view bytes);
  void start_image();
  void make_palette(uint8_t (*palette)[3]) const;
  [[noreturn]] static void on_error(png_structp png, png_const_charp text);
  static void on_warning(png_structp, png_const_charp) {}
  static void on_header(png_structp png, png_infop header);
  static void on_row(png_structp png, png_bytep new_row, png_uint_32 y, int pass);

  const DecodeOptions& options_;
  ImageInfo& info_;
  Image& image_;
  png_structp png_ = nullptr;
  png_infop header_ = nullptr;
  RowKind kind_ = RowKind::kRgb;
  size_t file_size_ = 0;
  uint8_t* samples_ = nullptr;  // of row 0; nullptr before the header is complete
  char message_[160] = "not enough memory for its pixels";
  std::jmp_buf jump_ = {};
};

Png::Png(const DecodeOptions& options, ImageInfo& info, Image& image)
    : options_(options), info_(info), image_(image) {
  png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
  if (png_) header_ = png_create_info_struct(png_);
  if (!header_) throw CodecError("not enough memory");
  png_set_progressive_read_fn(png_, this, on_header, on_row, nullptr);
  png_set_user_limits(png_, 0x7fffffff, 0x7fffffff);  // set_size() is the limit
  // Text, colour profiles and the like are never unpacked.
  png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_set_crc_action(png_, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
}

void Png::on_error(png_structp png, png_const_charp text) {
  auto* self = static_cast<Png*>(png_get_error_ptr(png));
  std::snprintf(self->message_, sizeof(self->message_), "%s", text);
  std::longjmp(self->jump_, 1);
}

void Png::on_header(png_structp png, png_infop) {
  auto* self = static_cast<Png*>(png_get_progressive_ptr(png));
  bool started = false;
  try {
    self->start_image();
    started = true;
  } catch (const CodecError& error) {  // must not pass through libpng
    std::snprintf(self->message_, sizeof(self->message_), "%s", error.what());
  } catch (const std::bad_alloc&) {  // message_ says so already
  }
  if (!started) std::longjmp(self->jump_, 1);
  png_start_read_image(png);
}

void Png::on_row(png_structp png, png_bytep new_row, png_uint_32 y, int) {
  auto* self = static_cast<Png*>(png_get_progressive_ptr(png));
  const size_t row_bytes = 3 * static_cast<size_t>(self->image_.width);
  png_progressive_combine_row(png, self->samples_ + y * row_bytes, new_row);
}

void Png::start_image() {
  const int depth = png_get_bit_depth(png_, header_);
  const int type = png_get_color_type(png_, header_);
  info_.mode = pillow_mode(type, depth);
  set_size(info_, png_get_image_width(png_, header_), png_get_image_height(png_, header_),
           options_);
  check_enough_data(file_size_, info_, png_get_channels(png_, header_) * depth);
  if (type == PNG_COLOR_TYPE_PALETTE) {
    kind_ = RowKind::kPalette;
    png_set_packing(png_);
  } else if (type == PNG_COLOR_TYPE_GRAY && depth == 16) {
    kind_ = RowKind::kGrey16;
  } else {
    if (depth < 8) png_set_expand_gray_1_2_4_to_8(png_);
    png_set_strip_16(png_);  // the high byte, as Pillow
    png_set_strip_alpha(png_);
    png_set_gray_to_rgb(png_);
  }
  png_set_interlace_handling(png_);
  // As Pillow: from here on zlib alone finds what is wrong, checksums do not count.
  png_set_crc_action(png_, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);
  image_ = Image(info_.width, info_.height);
  const size_t sample_bytes = kind_ == RowKind::kRgb ? 3 : kind_ == RowKind::kGrey16 ? 2 : 1;
  samples_ = image_.pixels.data() + (3 - sample_bytes) * info_.width;
}

bool Png::process(std::string_view bytes) {
  if (setjmp(jump_)) return false;
  png_process_data(png_, header_, reinterpret_cast<png_bytep>(const_cast<char*>(bytes.data())),
                   bytes.size());
  return true;
}

void Png::feed(std::string_view bytes) {
  if (!process(bytes)) throw CodecError(message_);
}

bool Png::has_all_rows() const {
  if (!samples_) return false;
  if (png_get_interlace_type(png_, header_) != PNG_INTERLACE_NONE) {
    return png_get_current_pass_number(png_) >= PNG_INTERLACE_ADAM7_PASSES;
  }
  return png_get_current_row_number(png_) >= static_cast<png_uint_32>(info_.height);
}

void Png::make_palette(uint8_t (*palette)[3]) const {
  for (int i = 0; i < 256; ++i) std::memset(palette[i], i, 3);  // as Pillow fills up
  png_colorp colours = nullptr;
  int count = 0;
  png_get_PLTE(png_, header_, &colours, &count);
  for (int i = 0; i < std::min(count, 256); ++i) {
    palette[i][0] = colours[i].red;
    palette[i][1] = colours[i].green;
    palette[i][2] = colours[i].blue;
  }
}

void Png::finish() {
  if (kind_ == RowKind::kPalette) {
    uint8_t palette[256][3];
    make_palette(palette);
    for (int y = 0; y < info_.height; ++y) palette_to_rgb(palette, image_.row(y), info_.width);
  } else if (kind_ == RowKind::kGrey16) {
    for (int y = 0; y < info_.height; ++y) grey16_to_rgb(image_.row(y), info_.width);
  }
}

}  // namespace

void decode_png(std::string_view bytes, const DecodeOptions& options, ImageInfo& info,
                Image& image) {
  Png png(options, info, image);
  png.set_file_size(bytes.size());
  constexpr size_t kSignature = 8, kHeader = 8, kChecksum = 4;
  png.feed(bytes.substr(0, kSignature));
  bool complete = false;
  for (size_t at = kSignature; at + kHeader <= bytes.size();) {
    const size_t length = png_get_uint_32(reinterpret_cast<png_const_bytep>(bytes.data()) + at);
    const size_t size = kHeader + length + kChecksum;
    if (!complete) {
      png.feed(bytes.substr(at, size));
      complete = png.has_all_rows();
    } else if (!is_chunk_name(bytes.substr(at + 4, 4)) || bytes.substr(at + 4, 4) == "IEND") {
      break;
    } else if (length > bytes.size() - at - kHeader) {
      throw CodecError("the file is truncated");
    }
    at += size;
  }
  if (!complete) throw CodecError("the file is truncated");
  png.finish();
}

}  // namespace opencloc::detail

// What a decoder is to image.cc. Third-party types stay inside the codec_*.cc files.
#pragma once

#include <stdexcept>
#include <string_view>

#include "opencloc/image/image.h"

namespace opencloc::detail {

// Why a picture does not decode; image.cc adds which picture it was.
struct CodecError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Fills info's width, height and mode (format is set already) as soon as the header is read, then
// the pixels. Throws CodecError; `info` then holds what was known.
using Decode = void (*)(std::string_view bytes, const DecodeOptions& options, ImageInfo& info,
                        Image& image);

void decode_jpeg(std::string_view bytes, const DecodeOptions& options, ImageInfo& info,
                 Image& image);
void decode_png(std::string_view bytes, const DecodeOptions& options, ImageInfo& info,
                Image& image);
void decode_webp(std::string_view bytes, const DecodeOptions& options, ImageInfo& info,
                 Image& image);
void decode_gif(std::string_view bytes, const DecodeOptions& options, ImageInfo& info,
                Image& image);
void decode_bmp(std::string_view bytes, const DecodeOptions& options, ImageInfo& info,
                Image& image);
void decode_pnm(std::string_view bytes, const DecodeOptions& options, ImageInfo& info,
                Image& image);

// Sets info's size. Throws CodecError when it is empty or over the cap, before pixels are
// allocated.
void set_size(ImageInfo& info, int64_t width, int64_t height, const DecodeOptions& options);

}  // namespace opencloc::detail

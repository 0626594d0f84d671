// Writing pictures. The bytes are the whole file; store them with write_file().
#pragma once

#include <string>

#include "opencloc/image/image.h"

namespace opencloc {

// 8-bit RGB, lossless. Throws Error (input) for an empty picture.
std::string encode_png(const Image& image);
// Baseline, 4:2:0, quality 1..100 as libjpeg counts. Throws Error (input) for an empty picture, a
// side over 65,500 or another quality.
std::string encode_jpeg(const Image& image, int quality = 90);

}  // namespace opencloc

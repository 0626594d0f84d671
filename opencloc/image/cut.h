// Parts of pictures.
#pragma once

#include "opencloc/image/box.h"
#include "opencloc/image/image.h"
#include "opencloc/image/resize.h"

namespace opencloc {

// The pixels a box of the stored picture touches, at least one.
PixelRect pixels_of(const Box& box, const Image& image);
// The box with 1.5 times its sides around its centre, within the picture, and its pixels rounded as
// PIL's Image.crop rounds: CLIPSelf's crop.
PixelRect pixels_around(const Box& box, const Image& image);

// The pixels of a rectangle that lies in the picture.
Image cut(const Image& image, const PixelRect& part);

}  // namespace opencloc

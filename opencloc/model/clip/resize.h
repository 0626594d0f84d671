// A model at another image size: the position embedding of the patch grid is interpolated
// (positions.h).
#pragma once

#include "opencloc/model/cloc/cloc.h"

namespace opencloc {

// A copy for pictures of image_size x image_size; the model itself where that is its size already.
// Places keep their encodings (ClocConfig::encoding_grid).
// Error (input) when image_size is no multiple of the patch size.
Cloc with_image_size(const Cloc& model, int64_t image_size);

}  // namespace opencloc

// How a picture is to be turned before it is shown, as cameras note it in EXIF. Pictures are used
// as they are stored; label tools show them turned, so that their boxes may have to be turned back.
#pragma once

#include <string_view>

#include "opencloc/image/box.h"

namespace opencloc {

// 1 (as stored) to 8 (EXIF tag 0x0112), from JPEG, PNG and WebP; 1 where nothing is said.
int exif_orientation(std::string_view bytes);

// Width and height change places.
inline bool is_quarter_turn(int orientation) { return orientation >= 5 && orientation <= 8; }

// A box in [0, 1] of the picture as it is shown -> of the picture as it is stored.
Box box_as_stored(const Box& shown, int orientation);

}  // namespace opencloc

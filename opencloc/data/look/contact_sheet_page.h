// The contact sheet around its samples: style, search box, switches. What a card must hold for them
// is said in contact_sheet_card.h.
#pragma once

#include <cstdint>
#include <string>

namespace opencloc {

// Everything before the first card. `size`: longest side of the pictures, in pixels.
std::string contact_sheet_head(const std::string& title, int size, int64_t samples);
// Everything behind the last one.
std::string contact_sheet_tail();

}  // namespace opencloc

// What a layout calls the parameters of open_clip's CLIP: tables, and the one way to read them.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

#include "opencloc/checkpoint/layout/weights.h"

namespace opencloc {

struct Renamed {
  std::string_view open_clip;
  std::string_view other;
};

struct ClipNames {
  const char* layout;                // for messages
  std::span<const Renamed> singles;  // beginnings of names outside the blocks
  std::string_view vision_blocks;    // what stands before a block's number
  std::string_view text_blocks;
  std::span<const Renamed> in_block;    // beginnings of names after it
  std::array<std::string_view, 3> qkv;  // in a block: query, key and value, which open_clip stacks
};

// The projections lie transposed, as linear layers have them. Error (input) for a parameter the
// layout has no name for: another kind of model.
StoredAs stored_as(const ClipNames& names, const std::string& parameter);

}  // namespace opencloc

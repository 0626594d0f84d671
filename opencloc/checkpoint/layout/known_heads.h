// Heads and activation of weights that come without a configuration: no shape says them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "opencloc/model/config/config.h"

namespace opencloc {

// What the named architectures (configs/models) say of a tower of this width: the width of a head,
// and why, for people ("as in ViT-H-14"). None where they have no such width, or do not agree.
struct KnownHeads {
  int64_t head_width = 0;
  std::string why;
};
std::optional<KnownHeads> known_vision_heads(int64_t width);
std::optional<KnownHeads> known_text_heads(int64_t width);

// Takes from `architecture` (a name or a JSON file) what shapes cannot say: heads, activation,
// preprocessing. Throws Error (input) when its sizes are not those of `config`, which the shapes
// gave.
void apply_architecture(const std::string& architecture, std::string_view where,
                        ModelConfig& config);

}  // namespace opencloc

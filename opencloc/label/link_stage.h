// The stage around a Linker: "entity_mentions" of the record -> "entities".
#pragma once

#include <memory>

#include "opencloc/label/linker.h"
#include "opencloc/label/stage.h"

namespace opencloc {

// Each entity once, by its best mention, those the picture does not show left out, the highest
// scores first:
//   {"id", "name", "mention", "span", "prior", "context", "image", "image_by", "score"}
// context and image are cosines, where there are any; image_by: prototype, type or text.
std::unique_ptr<Stage> link_stage(std::shared_ptr<Linker> linker);

}  // namespace opencloc

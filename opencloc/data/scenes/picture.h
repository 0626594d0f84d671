// Objects onto a background: who hides whom, exact boxes, blending.
#pragma once

#include <vector>

#include "opencloc/data/scenes/layout.h"
#include "opencloc/data/scenes/sprite.h"
#include "opencloc/image/image.h"

namespace opencloc {

// Paints `objects` (back to front) onto `image` (square) and fills in their box, visible and
// hidden_by from the pixels that show: alpha of at least a half, in the picture, not behind another
// object. An object that would show too little is removed from `objects` and not painted.
void paint_objects(Image& image, const SpriteStore& sprites, std::vector<SceneObject>& objects);

}  // namespace opencloc

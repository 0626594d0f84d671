// The file of `embed --boxes`: one region per line.
#pragma once

#include <string>
#include <vector>

#include "opencloc/encode/picture_source.h"

namespace opencloc::cli {

// Adds the regions of a file of lines {"image": PATH, "box": [x0, y0, x1, y1], "text"?: T} to the
// pictures they name; pictures that are not in the list yet are appended. Boxes are clipped to the
// picture. Throws Error (input) naming the line.
void add_boxes(const std::string& path, std::vector<PictureFile>& files);

}  // namespace opencloc::cli

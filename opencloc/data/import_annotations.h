// Helpers that several importers share.
#pragma once

#include <filesystem>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

#include "opencloc/base/json.h"
#include "opencloc/image/box.h"

namespace opencloc {

// Reads a JSON annotation file without the values of the keys in `leave_out` (COCO's
// segmentations are most of the file and all of the memory). Error (input).
Json read_annotations(const std::filesystem::path& path,
                      std::initializer_list<std::string_view> leave_out);

// Calls visit(line, "FILE:7") for every line that is not blank.
void for_each_line(
    const std::filesystem::path& path,
    const std::function<void(std::string_view line, const std::string& where)>& visit);

// [x, y, width, height] -> corners. False unless it is four finite numbers.
bool box_from_xywh(const Json& value, Box& box);
// [x0, y0, x1, y1] -> corners. False unless it is four finite numbers.
bool box_from_corners(const Json& value, Box& box);

// Error (input) saying what --annotations must be, when it is not given or not there.
void require_annotations(const std::filesystem::path& path, std::string_view what);

}  // namespace opencloc

// Helpers that several importers share.
#pragma once

#include <filesystem>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "opencloc/base/json.h"
#include "opencloc/data/shard/skips.h"
#include "opencloc/image/box.h"

namespace opencloc {

// Why a box around many objects is left out.
inline constexpr std::string_view kCrowdAnnotation = "crowd annotation";

// The text of an annotation file (base/text_file.h). Bytes that are not UTF-8 are named in the log
// and marked, so that only the values that hold them are lost (has_bad_mark()).
std::string read_annotation_text(const std::filesystem::path& path);
// Reads a JSON annotation file without the values of the keys in `leave_out` (COCO's
// segmentations are most of the file and all of the memory). Error (input).
Json read_annotations(const std::filesystem::path& path,
                      std::initializer_list<std::string_view> leave_out);

// Calls visit(line, "FILE:7") for every line that is not blank. A line that is not UTF-8 is
// counted.
void for_each_line(
    const std::filesystem::path& path, SkipCounter& skips,
    const std::function<void(std::string_view line, const std::string& where)>& visit);

// [x, y, width, height] -> corners. False unless it is four finite numbers.
bool box_from_xywh(const Json& value, Box& box);
// [x0, y0, x1, y1] -> corners. False unless it is four finite numbers.
bool box_from_corners(const Json& value, Box& box);

// An id as text: 7, 7.0 and "7" are the same. Empty when it is none (null, a list, NaN).
std::string json_id(const Json& value);
// A number, also one that is written as a string. Nothing when it is none, or not finite.
std::optional<double> json_loose_number(const Json& value);
// The value of a key, null where there is none or `object` is no object.
const Json& json_value(const Json& object, const char* key);
// A name or a text; a number as it is written; empty for all else.
std::string json_text(const Json& value);
// true, 1, 1.0, "1", "true": annotators spell it in all of these ways.
bool json_truth(const Json& value);

// Error (input) saying what --annotations must be, when it is not given or not there.
void require_annotations(const std::filesystem::path& path, std::string_view what);

}  // namespace opencloc

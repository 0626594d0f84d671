// JSON as Python's json module reads and writes it, and large files a piece at a time.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/base/json.h"

namespace opencloc {

// Parses `text` without the values of the keys in `leave_out`; NaN and Infinity become those
// doubles, a surrogate without its other half becomes U+FFFD, as a number too large does infinity.
// Error (input) naming `where`. Takes the text because it may have to change it.
Json parse_json_without(std::string text, std::string_view where,
                        const std::vector<std::string_view>& leave_out);

struct JsonLists {
  // Lists of the root object whose elements are wanted, e.g. {"images", "annotations"}.
  std::vector<std::string_view> names;
  // A key of the elements with polygons as its value: it is replaced by [x0, y0, x1, y1] around
  // all of its points, or by null where there are none. Empty = no such key.
  std::string_view polygons = {};
  // Keys of the elements that are left out.
  std::vector<std::string_view> leave_out = {};
  std::string_view what = "JSON file of lists";  // for errors
  // Which of `names` a file is whose root is a list; empty = such a file is an error.
  std::string_view root = {};
};

// Calls visit(index into names, element) for every element in the order of the file; nothing else
// of it is held. Returns which of the lists were there. Error (input) when the text is no JSON,
// its root is no object, or a wanted list is something else.
std::vector<bool> for_each_json_element(
    std::string text, std::string_view where, const JsonLists& lists,
    const std::function<void(size_t list, Json&& element)>& visit);

}  // namespace opencloc

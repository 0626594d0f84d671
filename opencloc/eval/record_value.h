// One value of a record as a class name: what a probe learns to tell apart.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "opencloc/data/shard/record.h"

namespace opencloc {

// "label": the record's; "regions": how many regions it has ("0", "1", ...); "quadrant": where the
// centre of its largest region lies in the stored picture ("top left", "top right", "bottom left",
// "bottom right"; of equals the first region), nothing where it has none. Any other name: that key
// of KEY.json, a string, a number or a truth value. Nothing where there is no such value.
std::optional<std::string> record_value(const Record& record, std::string_view key);

}  // namespace opencloc

// What a YOLO data set says of itself: data.yaml, darknet's obj.data, or a list of names.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "opencloc/data/import/yolo_line.h"
#include "opencloc/data/shard/skips.h"

namespace opencloc {

struct YoloNames {
  std::filesystem::path path;
  std::vector<std::string> names;  // by class number; empty where a class has none
  YoloForm form;
};

// Reads any of the three. Error (input) when there are no names in it, or what it says of them
// cannot be followed; an 'nc' that is another number than that of the names is noted.
YoloNames read_yolo_names(const std::filesystem::path& path, SkipCounter& skips);

}  // namespace opencloc

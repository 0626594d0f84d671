#include "opencloc/cli/box_file.h"

#include <unordered_map>

#include "opencloc/base/error.h"
#include "opencloc/base/json.h"
#include "opencloc/base/text_file.h"

namespace opencloc::cli {
namespace {

Box box_of(const Json& line, const std::string& where) {
  const Json& numbers = json_at(line, "box", where);
  Box box;
  float* const sides[] = {&box.x0, &box.y0, &box.x1, &box.y1};
  const bool four = numbers.is_array() && numbers.size() == 4;
  for (size_t i = 0; i < 4; ++i) {
    if (!four || !numbers[i].is_number()) {
      throw Error::input("box is not four numbers", where,
                         "write [x0, y0, x1, y1] in [0, 1] of the picture");
    }
    *sides[i] = numbers[i].get<float>();
  }
  const Box clipped = clip_to_unit(box);
  if (!box.finite() || clipped.area() <= 0) {
    throw Error::input("box has no area inside the picture", where,
                       "write [x0, y0, x1, y1] in [0, 1] of the picture, x0 < x1 and y0 < y1");
  }
  return clipped;
}

}  // namespace

void add_boxes(const std::string& path, std::vector<PictureFile>& files) {
  std::unordered_map<std::string, size_t> place;
  for (size_t i = 0; i < files.size(); ++i) place.emplace(files[i].path, i);
  int64_t number = 0;
  for (const auto& text : read_text_lines(path)) {
    const std::string where = path + ":" + std::to_string(++number);
    if (text.find_first_not_of(" \t") == std::string::npos) continue;
    const Json line = parse_json(text, where);
    const std::string image = json_string(line, "image", where, "");
    if (image.empty()) {
      throw Error::input("no picture is named", where,
                         "write {\"image\": PATH, \"box\": [x0, y0, x1, y1]}");
    }
    const auto [found, added] = place.emplace(image, files.size());
    if (added) files.push_back({image, {}});
    files[found->second].regions.push_back(
        {box_of(line, where), json_string(line, "text", where, "")});
  }
}

}  // namespace opencloc::cli

#include "opencloc/data/import_annotations.h"

#include <algorithm>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"

namespace opencloc {

Json read_annotations(const std::filesystem::path& path,
                      std::initializer_list<std::string_view> leave_out) {
  const std::string text = read_file(path);
  const auto keep = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > 256) {
      throw Error::input("JSON nested deeper than 256 levels", path.string(),
                         "check where the file comes from");
    }
    return event != Json::parse_event_t::key ||
           std::find(leave_out.begin(), leave_out.end(), parsed.get_ref<const std::string&>()) ==
               leave_out.end();
  };
  try {
    return Json::parse(text, keep);
  } catch (const nlohmann::json::exception& e) {
    throw Error::input(std::string("invalid JSON (") + e.what() + ")", path.string(),
                       "correct or replace the file");
  }
}

void for_each_line(
    const std::filesystem::path& path,
    const std::function<void(std::string_view line, const std::string& where)>& visit) {
  const std::string text = read_file(path);
  std::string_view rest = text;
  for (int64_t number = 1; !rest.empty(); ++number) {
    const size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
    visit(line, path.string() + ":" + std::to_string(number));
  }
}

bool box_from_corners(const Json& value, Box& box) {
  if (!value.is_array() || value.size() != 4 ||
      !std::all_of(value.begin(), value.end(), [](const Json& v) { return v.is_number(); })) {
    return false;
  }
  box = {value[0].get<float>(), value[1].get<float>(), value[2].get<float>(),
         value[3].get<float>()};
  return box.finite();
}

bool box_from_xywh(const Json& value, Box& box) {
  if (!box_from_corners(value, box)) return false;
  box.x1 += box.x0;
  box.y1 += box.y0;
  return box.finite();
}

void require_annotations(const std::filesystem::path& path, std::string_view what) {
  std::error_code ec;
  if (!path.empty() && std::filesystem::exists(path, ec)) return;
  throw Error::input(path.empty() ? "annotations are missing" : "no such annotations",
                     path.empty() ? "--annotations" : path.string(), "name " + std::string(what));
}

}  // namespace opencloc

#include "opencloc/eval/templates.h"

#include <sstream>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"

namespace opencloc {

std::vector<std::string> read_names(const std::filesystem::path& path) {
  std::vector<std::string> names;
  std::istringstream lines(read_file(path, uint64_t{1} << 30));
  constexpr const char* kSpace = " \t\r";
  for (std::string line; std::getline(lines, line);) {
    const size_t begin = line.find_first_not_of(kSpace);
    if (begin == std::string::npos) continue;
    names.push_back(line.substr(begin, line.find_last_not_of(kSpace) - begin + 1));
  }
  if (names.empty()) throw Error::input("no names in the file", path.string(), "write one a line");
  return names;
}

std::vector<std::string> load_templates(const std::string& name_or_path) {
  if (name_or_path == "photo") return {"a photo of a {}."};
  if (name_or_path == "simple") {
    return {"itap of a {}.",           "a bad photo of the {}.",
            "a origami {}.",           "a photo of the large {}.",
            "a {} in a video game.",   "art of the {}.",
            "a photo of the small {}."};
  }
  auto templates = read_names(name_or_path);
  for (const auto& pattern : templates) {
    if (pattern.find("{}") == std::string::npos) {
      throw Error::input("template \"" + pattern + "\" has no {}", name_or_path,
                         "put {} where the class name goes");
    }
  }
  return templates;
}

}  // namespace opencloc

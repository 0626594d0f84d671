#include "opencloc/eval/templates.h"

#include "opencloc/base/error.h"
#include "opencloc/base/text_file.h"

namespace opencloc {

std::vector<std::string> read_names(const std::filesystem::path& path) {
  std::vector<std::string> names;
  for (const auto& line : read_text_lines(path, uint64_t{1} << 30)) {
    if (!trimmed(line).empty()) names.emplace_back(trimmed(line));
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

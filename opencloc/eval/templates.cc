#include "opencloc/eval/templates.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "opencloc/base/error.h"
#include "opencloc/base/text_file.h"

namespace opencloc {
namespace {

struct ImageNetClass {
  const char* label;
  const char* name;
};
#include "opencloc/eval/imagenet.inc"

// ViLD's prompts, with CLIPSelf's "This is " in front of those that begin with an "a" or "the".
std::vector<std::string> vild_templates() {
  std::vector<std::string> prompts{"There is {article} {} in the scene.",
                                   "There is the {} in the scene.",
                                   "a photo of one {} in the scene.",
                                   "a photo of one {}.",
                                   "a photo of many {}.",
                                   "a photo of my {}.",
                                   "itap of my {}.",
                                   "an embroidered {}.",
                                   "a painting of a {}."};
  const auto both = [&](const std::string& before, const std::string& article,
                        const std::string& after) {
    prompts.push_back(before + article + after);
    prompts.push_back(before + "the" + after);
  };
  both("a photo of ", "{article}", " {} in the scene.");
  both("itap of ", "{article}", " {}.");
  for (const char* kind :
       {"", "good ", "bad ", "bright ", "dark ", "low resolution ", "cropped ", "close-up ",
        "jpeg corrupted ", "blurry ", "pixelated ", "black and white "}) {
    both("a " + std::string(kind) + "photo of ", "{article}", " {}.");
  }
  for (const char* kind :
       {"nice", "cool", "weird", "small", "large", "clean", "dirty", "hard to see"})
    both("a photo of ", "a", " " + std::string(kind) + " {}.");
  for (const char* kind : {"plastic", "toy", "plushie", "cartoon"})
    both("", "a", " " + std::string(kind) + " {}.");
  prompts.emplace_back("the embroidered {}.");
  prompts.emplace_back("a painting of the {}.");
  for (auto& prompt : prompts)
    if (prompt.starts_with("a") || prompt.starts_with("the")) prompt = "This is " + prompt;
  return prompts;
}

}  // namespace

std::vector<std::string> read_names(const std::filesystem::path& path) {
  std::vector<std::string> names;
  for (const auto& line : read_text_lines(path, uint64_t{1} << 30)) {
    if (!trimmed(line).empty()) names.emplace_back(trimmed(line));
  }
  if (names.empty()) throw Error::input("no names in the file", path.string(), "write one a line");
  return names;
}

std::vector<std::string> load_templates(const std::string& name_or_path) {
  if (name_or_path == "none") return {};
  if (name_or_path == "photo") return {"a photo of a {}."};
  if (name_or_path == "simple") {
    return {"itap of a {}.",           "a bad photo of the {}.",
            "a origami {}.",           "a photo of the large {}.",
            "a {} in a video game.",   "art of the {}.",
            "a photo of the small {}."};
  }
  if (name_or_path == "openai") return {std::begin(kOpenaiTemplates), std::end(kOpenaiTemplates)};
  if (name_or_path == "vild") return vild_templates();
  auto templates = read_names(name_or_path);
  for (const auto& pattern : templates) {
    if (pattern.find("{}") == std::string::npos) {
      throw Error::input("template \"" + pattern + "\" has no {}", name_or_path,
                         "put {} where the class name goes");
    }
  }
  return templates;
}

ClassNames load_classes(const std::string& name_or_path) {
  ClassNames classes;
  if (name_or_path != "imagenet") {
    classes.names = read_names(name_or_path);
    return classes;
  }
  for (const auto& [label, name] : kImageNetClasses) {
    classes.names.emplace_back(name);
    classes.labels.emplace_back(label);
  }
  return classes;
}

ClassNames read_names_map(const std::filesystem::path& path) {
  ClassNames classes;
  std::set<std::string> seen;
  int64_t number = 0;
  for (const auto& line : read_text_lines(path, uint64_t{1} << 30)) {
    ++number;
    if (trimmed(line).empty()) continue;
    const size_t tab = line.find('\t');
    const std::string label(trimmed(line.substr(0, tab)));
    const std::string name(tab == std::string::npos ? "" : trimmed(line.substr(tab + 1)));
    const std::string where = path.string() + ":" + std::to_string(number);
    if (label.empty() || name.empty())
      throw Error::input("not a label, a tab and a name", where, "write \"n01440764<TAB>tench\"");
    if (!seen.insert(label).second)
      throw Error::input("the label \"" + label + "\" stands there twice", where, "leave one out");
    classes.labels.push_back(label);
    classes.names.push_back(name);
  }
  if (classes.names.empty())
    throw Error::input("no names in the file", path.string(),
                       "write a label, a tab, a name a line");
  return classes;
}

}  // namespace opencloc

// Lists of class names and prompt templates, as people keep them in files, and the published ones.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace opencloc {

// One name a line, spaces around it and empty lines dropped. Error (input) when there is none.
std::vector<std::string> read_names(const std::filesystem::path& path);

// "photo" ("a photo of a {}."), "simple" (the seven of open_clip's SIMPLE_IMAGENET_TEMPLATES),
// "openai" (its 80 OPENAI_IMAGENET_TEMPLATES), "vild" (the 63 of ViLD as CLIPSelf asks them, with
// "This is " in front; Gu et al., 2022), "none" (no template: bare names), or a file with a
// template a line. "{}" is the name, "{article}" its "a" or "an". Error (input) for a template
// without "{}".
std::vector<std::string> load_templates(const std::string& name_or_path);

// Candidate names, and the labels by which records call them where those are others (ImageNet's
// synsets): one a name, or none at all. With labels a name may stand there twice, as in open_clip.
struct ClassNames {
  std::vector<std::string> names;
  std::vector<std::string> labels;
};

// "imagenet" (the 1,000 synsets with open_clip's names) or a file with a name a line.
ClassNames load_classes(const std::string& name_or_path);
// A label, a tab and its name a line: "n01440764\ttench". Error (input) naming the line for any
// other line and for a label that stands there twice.
ClassNames read_names_map(const std::filesystem::path& path);

}  // namespace opencloc

// Lists of class names and prompt templates, as people keep them in files.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace opencloc {

// One name a line, spaces around it and empty lines dropped. Error (input) when there is none.
std::vector<std::string> read_names(const std::filesystem::path& path);

// "photo" ("a photo of a {}."), "simple" (the seven of open_clip's SIMPLE_IMAGENET_TEMPLATES), or
// a file with a template a line. Error (input) for a template without "{}".
std::vector<std::string> load_templates(const std::string& name_or_path);

}  // namespace opencloc

// Every verb with what --help says of it. The whole program writes the list while it is built, the
// thin one carries it.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace opencloc::cli {

struct ListedVerb {
  std::string_view path;  // "" for the program itself, "train", "data import"
  std::string_view help;
};

// As text: a path, kAfterPath, its help, kAfterHelp; verbs after the one they belong to, in the
// order of the table.
inline constexpr char kAfterPath = '\x1f', kAfterHelp = '\x1e';
std::string write_verb_list(const std::function<std::unique_ptr<CLI::App>()>& make_whole);

// Views of `text`, which is what write_verb_list() wrote.
std::vector<ListedVerb> read_verb_list(std::string_view text);

}  // namespace opencloc::cli

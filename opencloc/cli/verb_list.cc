#include "opencloc/cli/verb_list.h"

#include <algorithm>
#include <sstream>

namespace opencloc::cli {
namespace {

// What `opencloc PATH --help` prints.
std::string help_of(CLI::App& whole, std::vector<std::string> path) {
  path.emplace_back("--help");
  std::reverse(path.begin(), path.end());  // as CLI11 takes a vector
  std::ostringstream text;
  try {
    whole.parse(std::move(path));
  } catch (const CLI::Success& asked) {
    whole.exit(asked, text, text);
  }
  return text.str();
}

void list_paths(const CLI::App& app, const std::vector<std::string>& path,
                std::vector<std::vector<std::string>>& paths) {
  paths.push_back(path);
  for (const CLI::App* verb : app.get_subcommands(nullptr)) {
    auto below = path;
    below.push_back(verb->get_name());
    list_paths(*verb, below, paths);
  }
}

}  // namespace

std::string write_verb_list(const std::function<std::unique_ptr<CLI::App>()>& make_whole) {
  std::vector<std::vector<std::string>> paths;
  list_paths(*make_whole(), {}, paths);
  std::string list;
  for (const auto& path : paths) {
    const auto fresh = make_whole();  // parsing leaves traces
    list += CLI::detail::join(path, " ") + kAfterPath + help_of(*fresh, path) + kAfterHelp;
  }
  return list;
}

std::vector<ListedVerb> read_verb_list(std::string_view text) {
  std::vector<ListedVerb> list;
  while (!text.empty()) {
    const size_t middle = text.find(kAfterPath), end = text.find(kAfterHelp);
    list.push_back({text.substr(0, middle), text.substr(middle + 1, end - middle - 1)});
    text.remove_prefix(end + 1);
  }
  return list;
}

}  // namespace opencloc::cli

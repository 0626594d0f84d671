// The thin program `opencloc`: --help of everything, --version, and the verbs that need no tensors.
// For all else it becomes opencloc-tensors, the whole program (docs/decisions/thin_program.md).
// Links no libtorch.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "opencloc/base/error.h"
#include "opencloc/cli/index_flags.h"
#include "opencloc/cli/program.h"
#include "opencloc/cli/tensor_parts.h"
#include "opencloc/cli/verb.h"
#include "opencloc/cli/verb_list.h"
#include "opencloc/cli/whole_program.h"
#include "opencloc/kernels/parallel.h"

namespace opencloc::cli {
namespace {

// Of these the thin program knows the flags. A verb of tensors is known by its name and its help.
struct ThinVerb {
  std::string_view path;
  void (*add)(CLI::App& app);
};

constexpr ThinVerb kThinVerbs[] = {
    {"data", add_data},
    {"inspect", add_inspect},
    {"compare", add_compare},
    {"index remove", add_index_remove},
    {"index stats", add_index_stats},
    {"index verify", add_index_verify},
    {"index compact", add_index_compact},
    {"index export", add_index_export},
};

// What opencloc-tensors wrote while it was built.
constexpr unsigned char kVerbList[] = {
#include "verb_list.inc"
};

char** g_arguments = nullptr;  // main()'s

bool asks_for_help(const std::vector<std::string>& arguments) {
  return std::any_of(arguments.begin(), arguments.end(), [](const std::string& argument) {
    return argument == "--help" || argument == "-h";
  });
}

class ThinProgram {
 public:
  ThinProgram()
      : list_(read_verb_list({reinterpret_cast<const char*>(kVerbList), sizeof(kVerbList)})),
        app_(make_program()) {
    for (const auto& verb : list_) {
      if (!verb.path.empty()) add(std::string(verb.path));
    }
  }

  int run(const std::vector<std::string>& arguments) {
    std::string path;
    size_t depth = 0;
    const ListedVerb* chosen = find(path);
    while (depth < arguments.size()) {
      const std::string next = path.empty() ? arguments[depth] : path + " " + arguments[depth];
      const ListedVerb* below = find(next);
      if (below == nullptr) break;
      chosen = below;
      path = next;
      ++depth;
    }
    if (arguments.size() == depth + 1 && asks_for_help({arguments[depth]})) {
      std::fwrite(chosen->help.data(), 1, chosen->help.size(), stdout);
      return finish_output();
    }
    // Help among other arguments is for the whole program: of a verb of tensors only the text is
    // known here.
    const bool known = is_thin(path) || (is_group(path) && !asks_for_help(arguments));
    if (!known) return guarded([] { become_whole(g_arguments); });
    return run_program(*app_, arguments);
  }

 private:
  const ListedVerb* find(std::string_view path) const {
    const auto at = std::find_if(list_.begin(), list_.end(),
                                 [&](const ListedVerb& verb) { return verb.path == path; });
    return at == list_.end() ? nullptr : &*at;
  }
  bool is_group(const std::string& path) const {
    const std::string start = path.empty() ? "" : path + " ";
    return std::any_of(list_.begin(), list_.end(), [&](const ListedVerb& verb) {
      return verb.path.size() > start.size() && verb.path.starts_with(start);
    });
  }
  static bool is_thin(std::string_view path) {
    return std::any_of(std::begin(kThinVerbs), std::end(kThinVerbs), [&](const ThinVerb& verb) {
      return path == verb.path || path.starts_with(std::string(verb.path) + " ");
    });
  }
  void add(const std::string& path) {
    CLI::App* app = app_.get();
    for (const auto& name : CLI::detail::split(path, ' ')) {
      const auto there =
          app->get_subcommands([&](const CLI::App* verb) { return verb->get_name() == name; });
      app = there.empty() ? app->add_subcommand(name) : there.front();
    }
    const auto thin = std::find_if(std::begin(kThinVerbs), std::end(kThinVerbs),
                                   [&](const ThinVerb& verb) { return verb.path == path; });
    if (thin != std::end(kThinVerbs)) {
      thin->add(*app);
    } else if (is_group(path)) {
      app->require_subcommand(1);
    }
  }

  std::vector<ListedVerb> list_;
  std::unique_ptr<CLI::App> app_;
};

}  // namespace

const TensorParts& tensor_parts() { become_whole(g_arguments); }

void use_threads(int threads) { kernels::set_thread_count(threads); }

}  // namespace opencloc::cli

int main(int argc, char** argv) {
  opencloc::cli::g_arguments = argv;
  return opencloc::cli::ThinProgram().run(std::vector<std::string>(argv + 1, argv + argc));
}

// Flags shared by verbs, and --config files.
#include <algorithm>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/base/parallel_for.h"
#include "opencloc/cli/suggest.h"
#include "opencloc/cli/tensor_parts.h"
#include "opencloc/cli/verb.h"
#include "opencloc/data/remote/cache.h"

namespace opencloc::cli {
namespace {

constexpr const char* kConfigFlag = "--config";

// nullptr when `app` has no such verb.
CLI::App* find_verb(CLI::App& app, const std::string& name) {
  for (CLI::App* verb : app.get_subcommands({})) {
    if (verb->check_name(name)) return verb;
  }
  return nullptr;
}

// The chosen verb and its name with parents: {"data", "import"}.
struct Chosen {
  CLI::App* app;
  std::vector<std::string> names;
};

Chosen chosen_verb(CLI::App& root, const std::vector<std::string>& arguments) {
  Chosen chosen{&root, {}};
  for (const auto& argument : arguments) {
    CLI::App* next = find_verb(*chosen.app, argument);
    if (next == nullptr) break;
    chosen.app = next;
    chosen.names.push_back(argument);
  }
  return chosen;
}

// CLI11 says only that a subcommand is missing.
void require_known_verb(const Chosen& chosen, const std::vector<std::string>& arguments) {
  const size_t depth = chosen.names.size();
  if (chosen.app->get_require_subcommand_min() == 0 || depth >= arguments.size() ||
      arguments[depth].starts_with('-')) {
    return;
  }
  std::string known;
  for (const CLI::App* verb : chosen.app->get_subcommands(nullptr)) {
    known += (known.empty() ? "" : ", ") + verb->get_name();
  }
  std::vector<std::string> names;
  for (const CLI::App* verb : chosen.app->get_subcommands(nullptr))
    names.push_back(verb->get_name());
  const std::string meant = nearest_name(arguments[depth], names);
  throw Error::input(
      "unknown verb '" + arguments[depth] + "'", CLI::detail::join(chosen.names, " "),
      "use one of " + known + (meant.empty() ? "" : "; did you mean " + meant + "?"));
}

// The value of --config, "" when it is not given.
std::string config_path(const std::vector<std::string>& arguments) {
  const std::string with_value = std::string(kConfigFlag) + "=";
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i].starts_with(with_value)) return arguments[i].substr(with_value.size());
    if (arguments[i] == kConfigFlag && i + 1 < arguments.size()) return arguments[i + 1];
  }
  return {};
}

std::vector<CLI::ConfigItem> read_config(const std::string& path) {
  try {
    return CLI::ConfigTOML().from_file(path);
  } catch (const CLI::Error& e) {
    throw Error::input("cannot read configuration (" + std::string(e.what()) + ")", path,
                       "name a TOML file with lines like batch-size = 64");
  }
}

const CLI::Option* find_option(const CLI::App& verb, std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  if (name == "config" || name == "help") return nullptr;
  for (const CLI::Option* option : verb.get_options()) {
    if (option->check_lname(name)) return option;
  }
  return nullptr;
}

bool is_given(const CLI::Option& option, const std::vector<std::string>& arguments) {
  return std::any_of(arguments.begin(), arguments.end(), [&](const std::string& argument) {
    const auto& longs = option.get_lnames();
    const auto& shorts = option.get_snames();
    return std::any_of(longs.begin(), longs.end(),
                       [&](const std::string& name) {
                         return argument == "--" + name || argument.starts_with("--" + name + "=");
                       }) ||
           std::any_of(shorts.begin(), shorts.end(), [&](const std::string& name) {
             return argument.starts_with("-" + name) && !argument.starts_with("--");
           });
  });
}

// Is `parents` (a section) a verb of this program at all?
bool names_a_verb(CLI::App& root, const std::vector<std::string>& parents) {
  CLI::App* app = &root;
  for (const auto& name : parents) {
    app = find_verb(*app, name);
    if (app == nullptr) return false;
  }
  return true;
}

}  // namespace

void parse_and_run(CLI::App& app, std::vector<std::string> arguments) {
  // What stands after -- belongs to another command (launch).
  const auto end = std::find(arguments.begin(), arguments.end(), "--");
  const std::vector<std::string> after(end, arguments.end());
  arguments.erase(end, arguments.end());
  const Chosen chosen = chosen_verb(app, arguments);
  require_known_verb(chosen, arguments);
  const auto verb_length = static_cast<std::ptrdiff_t>(chosen.names.size());
  const std::string place = CLI::detail::join(chosen.names, " ");
  const std::vector<std::string> given(arguments.begin() + verb_length, arguments.end());
  require_known_flags(*chosen.app, place.empty() ? "opencloc" : "opencloc " + place, given);
  if (const std::string path = config_path(arguments); !path.empty()) {
    std::vector<std::string> added;
    for (const auto& item : read_config(path)) {
      if (item.name == "++" || item.name == "--") continue;  // section begins, ends
      if (!item.parents.empty() && item.parents != chosen.names) {
        if (names_a_verb(app, item.parents)) continue;
        throw Error::input("unknown section of key '" + item.fullname() + "'", path,
                           "name sections like verbs, or remove it");
      }
      const CLI::Option* option = find_option(*chosen.app, item.name);
      if (option == nullptr) {
        const std::string meant = nearest_name(item.name, flag_names(*chosen.app));
        throw Error::input("unknown key '" + item.name + "'", path,
                           (meant.empty() ? "" : "did you mean " + meant + "? ") +
                               "see 'opencloc " + place +
                               " --help' for the flags, which are the keys");
      }
      if (is_given(*option, arguments)) continue;
      for (const auto& value : item.inputs) {
        added.push_back("--" + option->get_lnames().front() + "=" + value);
      }
    }
    arguments.insert(arguments.begin() + verb_length, added.begin(), added.end());
  }
  arguments.insert(arguments.end(), after.begin(), after.end());
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes a vector
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::ExtrasError&) {
    explain_several_values(*chosen.app, "opencloc " + place, given);
    throw;
  }
}

namespace {

CLI::Validator number_that(bool (*fits)(double), const char* wanted) {
  return {[=](const std::string& text) {
            double value = 0;
            if (CLI::detail::lexical_cast(text, value) && fits(value)) return std::string();
            return '"' + text + "\" is not " + wanted;
          },
          ""};
}

}  // namespace

CLI::Validator not_negative() {
  return number_that([](double value) { return value >= 0; }, "a number of at least 0");
}
CLI::Validator positive() {
  return number_that([](double value) { return value > 0; }, "a number above 0");
}

void add_cache_flags(CLI::App& app, const std::string& group) {
  app.add_option_function<std::string>(
         "--cache-dir",
         [](const std::string& folder) {
           ShardCacheOptions options = shard_cache_options();
           options.folder = folder;
           set_shard_cache(options);
         },
         "Where shards of http(s)://, s3:// and pipe: are kept, and indexes of shards in folders "
         "that cannot be written; without it $XDG_CACHE_HOME/opencloc or ~/.cache/opencloc")
      ->type_name("DIR")
      ->group(group);
  app.add_option_function<double>(
         "--cache-gb",
         [](double gigabytes) {
           ShardCacheOptions options = shard_cache_options();
           options.bytes = static_cast<uint64_t>(gigabytes * 1e9);
           set_shard_cache(options);
         },
         "How much of them is kept; those go first that were not used for the longest time")
      ->check(CLI::Range(0.0, 1e9))
      ->default_str("100")
      ->group(group);
}

void add_architecture_flag(CLI::App& app, std::string& architecture) {
  app.add_option("--architecture", architecture,
                 "Of weights that come without configuration: a name (ViT-H-14, ...; see inspect "
                 "--architectures) or a JSON file")
      ->type_name("NAME|FILE");
}

void add_config_flag(CLI::App& app) {
  app.add_option(kConfigFlag, "TOML file with any of these flags; the command line wins")
      ->type_name("FILE");
}

void add_device_flag(CLI::App& app, CommonFlags& flags) {
  app.add_option("--device", flags.device, "Where tensors live")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  app.add_option("--backend", flags.backend,
                 "What computes on the CPU: OpenCLOC's kernels, or libtorch as on a GPU")
      ->check(CLI::IsMember({"kernels", "torch"}))
      ->capture_default_str();
}

void add_threads_flag(CLI::App& app, CommonFlags& flags) {
  app.add_option("--threads", flags.threads, "CPU threads; 0 = all this process may use")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  app.parse_complete_callback([&flags] { use_threads(thread_count(flags)); });
}

void add_seed_flag(CLI::App& app, CommonFlags& flags) {
  app.add_option("--seed", flags.seed, "Seed of all random choices")->capture_default_str();
}

void add_common_flags(CLI::App& app, CommonFlags& flags) {
  add_device_flag(app, flags);
  add_threads_flag(app, flags);
  add_seed_flag(app, flags);
  add_config_flag(app);
}

int thread_count(const CommonFlags& flags) {
  return flags.threads > 0 ? flags.threads : available_cpus();
}

}  // namespace opencloc::cli

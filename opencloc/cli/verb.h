// A verb of the program: one file each, one line in whole_main.cc's table; of the thin program also
// one in main.cc's.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace opencloc::cli {

// Adds the verb's flags to `app` (with help text and a worked example in app.footer()) and sets
// app.callback() to the function that does the work. The callback throws Error; main() turns it
// into one line and an exit code.
void add_data(CLI::App& app);
void add_train(CLI::App& app);
void add_eval(CLI::App& app);
void add_compare(CLI::App& app);
void add_embed(CLI::App& app);
void add_label(CLI::App& app);
void add_convert(CLI::App& app);
void add_inspect(CLI::App& app);
void add_bench(CLI::App& app);
void add_launch(CLI::App& app);
void add_mllm(CLI::App& app);
void add_index(CLI::App& app);
void add_search(CLI::App& app);
void add_serve(CLI::App& app);

// A verb's work ended with this exit code, and has said why.
struct EndedBefore {
  int exit_code;
};

// An error as one line on stderr; returns the exit code.
int report_error(const std::string& message, int exit_code);

// Flags shared by verbs; the values are applied before the callback runs.
struct CommonFlags {
  std::string device = "auto";
  std::string backend = "kernels";
  int threads = 0;  // 0 = all processors this process may use
  uint64_t seed = 0;
};
// --device, --backend, --threads, --seed where they mean something, and --config FILE.toml for any
// flag.
void add_common_flags(CLI::App& app, CommonFlags& flags);
// The same one by one, for verbs where not all of them mean something.
void add_config_flag(CLI::App& app);
void add_device_flag(CLI::App& app, CommonFlags& flags);   // with --backend
void add_threads_flag(CLI::App& app, CommonFlags& flags);  // and with it those that compute
void add_seed_flag(CLI::App& app, CommonFlags& flags);
// --cache-dir, --cache-gb, for verbs that read shards: the cache of the whole process.
void add_cache_flags(CLI::App& app, const std::string& group = "Options");
// --architecture, for verbs that read models.
void add_architecture_flag(CLI::App& app, std::string& architecture);
// The thread count a verb should use.
int thread_count(const CommonFlags& flags);

// Checks of a number: at least 0, more than 0. (CLI11's own end in the largest double's 309
// digits.)
CLI::Validator not_negative();
CLI::Validator positive();

// Parses the command line and runs the verb's callback. `--config FILE.toml` gives flags their
// values where the command line does not: `batch-size = 64`, at the top of the file or in a
// section named like the verb ([train], [data.import]); sections of other verbs are passed over.
// Throws CLI::ParseError for wrong usage, Error (input) for unknown keys and unreadable files, and
// whatever the callback throws.
void parse_and_run(CLI::App& app, std::vector<std::string> arguments);

// For options of an enum: takes the names, and an error lists them.
template <typename Enum>
CLI::Validator one_of(const std::map<std::string, Enum>& values) {
  std::string names;
  for (const auto& [name, value] : values) names += (names.empty() ? "{" : ",") + name;
  names += '}';
  return CLI::Validator(
      [values, names](std::string& text) {
        const auto found = values.find(text);
        if (found == values.end()) return text + " not in " + names;
        text = std::to_string(static_cast<int>(found->second));
        return std::string();
      },
      names);
}

}  // namespace opencloc::cli

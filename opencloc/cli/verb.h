// A verb of the binary: one file each, one line in main.cc's table.
#pragma once

#include <CLI/CLI.hpp>

#include <functional>
#include <string>

namespace opencloc::cli {

// Adds the verb's flags to `app` (with help text and a worked example in app.footer()) and sets
// app.callback() to the function that does the work. The callback throws Error; main() turns it
// into one line and an exit code.
void add_data(CLI::App& app);
void add_train(CLI::App& app);
void add_eval(CLI::App& app);
void add_embed(CLI::App& app);
void add_inspect(CLI::App& app);
void add_bench(CLI::App& app);

// Flags shared by verbs; the values are applied before the callback runs.
struct CommonFlags {
  std::string device = "auto";
  int threads = 0;  // 0 = all processors this process may use
  uint64_t seed = 0;
};
// --device, --threads, --seed where they mean something, and --config FILE.toml for any flag.
void add_common_flags(CLI::App& app, CommonFlags& flags);
// The thread count a verb should use.
int thread_count(const CommonFlags& flags);

}  // namespace opencloc::cli

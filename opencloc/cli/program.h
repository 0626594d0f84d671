// What the two programs share: a table of verbs is parsed and run, and errors become one line and
// an exit code.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace opencloc::cli {

// The program before its verbs are added: name, --version.
std::unique_ptr<CLI::App> make_program();

// Parses and runs. 0, or the exit code of the error, which is on stderr then.
int run_program(CLI::App& app, const std::vector<std::string>& arguments);

// Runs `work`; its errors as run_program() tells them.
int guarded(const std::function<void()>& work);

// Results that could not be written are not a success: 0, or 1 with an error on stderr.
int finish_output();

}  // namespace opencloc::cli

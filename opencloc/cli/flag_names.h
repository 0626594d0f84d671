// The library names settings, the terminal flags: setting 'accum_freq' is shown as --accum-freq.
#pragma once

#include <string>
#include <string_view>

namespace opencloc::cli {

// "the setting 'device=cpu'" -> "--device cpu"; "settings 'steps', 'samples' and 'epochs'" ->
// "--steps, --samples and --epochs". Everything else stays as it is. For what a person reads on the
// terminal, never for JSON or files. Thread-safe.
std::string in_flags(std::string_view message);

}  // namespace opencloc::cli

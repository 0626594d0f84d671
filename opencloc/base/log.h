// Log lines on stderr; results never go through here (they go to stdout).
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <spdlog/fmt/fmt.h>

namespace opencloc::log {

enum class Level { kDebug, kInfo, kWarn, kError };

// Thread-safe. Clears a live progress bar first and redraws it after the line.
void write(Level level, std::string_view line);
void set_level(Level lowest_shown);
// In front of every line, e.g. "[rank 3] ". Before there are threads.
void set_prefix(std::string text);
// What every line becomes before it is shown; null: the line itself. Thread-safe, as `rewrite` must
// be.
void set_rewrite(std::string (*rewrite)(std::string_view line));

template <typename... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::kDebug, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::kWarn, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::kError, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace opencloc::log

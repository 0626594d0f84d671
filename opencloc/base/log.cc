#include "opencloc/base/log.h"

#include <atomic>
#include <cstdio>
#include <memory>
#include <utility>

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "opencloc/base/progress.h"

namespace opencloc::log {
namespace {

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto made = std::make_shared<spdlog::logger>(
        "opencloc", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    made->set_pattern("%H:%M:%S %^%l%$ %v");
    made->flush_on(spdlog::level::debug);
    return made;
  }();
  return *instance;
}

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarn:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::atomic<std::string (*)(std::string_view)> rewrite_line = nullptr;
std::string prefix;

}  // namespace

void write(Level level, std::string_view line) {
  const auto rewrite = rewrite_line.load();
  const std::string shown = rewrite == nullptr ? std::string(line) : rewrite(line);
  ProgressBar::clear_live();
  logger().log(to_spdlog(level), "{}{}", prefix, shown);
  ProgressBar::redraw_live();
}

void set_level(Level lowest_shown) { logger().set_level(to_spdlog(lowest_shown)); }

void set_prefix(std::string text) { prefix = std::move(text); }

void set_rewrite(std::string (*rewrite)(std::string_view line)) { rewrite_line = rewrite; }

}  // namespace opencloc::log

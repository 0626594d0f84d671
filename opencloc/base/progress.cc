#include "opencloc/base/progress.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <utility>

#include <spdlog/fmt/fmt.h>
#include <unistd.h>

namespace opencloc {
namespace {

std::mutex live_mutex;
ProgressBar* live_bar = nullptr;  // guarded by live_mutex

constexpr int kBarWidth = 24;

}  // namespace

std::string format_duration(double seconds) {
  const auto whole = std::llround(std::max(0.0, seconds));
  if (whole >= 3600) {
    return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  }
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

std::string format_count(double value) {
  if (value >= 1e9) return fmt::format("{:.1f} G", value / 1e9);
  if (value >= 1e6) return fmt::format("{:.1f} M", value / 1e6);
  if (value >= 1e4) return fmt::format("{:.1f} k", value / 1e3);
  if (value >= 100) return fmt::format("{:.0f}", value);
  return fmt::format("{:.1f}", value);
}

ProgressBar::ProgressBar(std::string label, int64_t total, std::string unit)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      visible_(isatty(STDERR_FILENO) != 0),
      began_(Clock::now()),
      drawn_(began_ - std::chrono::seconds(1)) {
  const std::lock_guard live_lock(live_mutex);
  if (visible_ && live_bar == nullptr) live_bar = this;
}

ProgressBar::~ProgressBar() {
  finish();
  const std::lock_guard live_lock(live_mutex);
  if (live_bar == this) live_bar = nullptr;
}

void ProgressBar::advance(int64_t count) {
  const std::lock_guard lock(mutex_);
  done_ += count;
  if (!visible_ || finished_) return;
  const auto now = Clock::now();
  if (now - drawn_ < std::chrono::milliseconds(100) && done_ != total_) return;
  drawn_ = now;
  draw();
}

void ProgressBar::set_note(std::string note) {
  const std::lock_guard lock(mutex_);
  note_ = std::move(note);
}

void ProgressBar::start_at(int64_t done) {
  const std::lock_guard lock(mutex_);
  done_ = start_ = done;
  began_ = Clock::now();
}

void ProgressBar::finish() {
  const std::lock_guard lock(mutex_);
  if (finished_) return;
  finished_ = true;
  if (visible_) std::fputs("\r\033[K", stderr);
}

void ProgressBar::clear_live() {
  const std::lock_guard live_lock(live_mutex);
  if (live_bar != nullptr && !live_bar->finished_) std::fputs("\r\033[K", stderr);
}

void ProgressBar::redraw_live() {
  const std::lock_guard live_lock(live_mutex);
  if (live_bar == nullptr) return;
  // The bar's owner may be the thread that logs: never wait for its lock here.
  const std::unique_lock lock(live_bar->mutex_, std::try_to_lock);
  if (lock.owns_lock() && !live_bar->finished_) live_bar->draw();
}

std::string ProgressBar::line() const {
  const double seconds = std::chrono::duration<double>(Clock::now() - began_).count();
  const double rate = seconds > 0 ? static_cast<double>(done_ - start_) / seconds : 0;
  std::string text = label_ + " ";
  if (total_ > 0) {
    const double share = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
    const int filled = static_cast<int>(share * kBarWidth);
    text += fmt::format("[{}{}] {:3.0f}% {}/{} {}", std::string(filled, '='),
                        std::string(kBarWidth - filled, ' '), share * 100, done_, total_, unit_);
  } else {
    text += fmt::format("{} {}", done_, unit_);
  }
  text += fmt::format(" {}/s", format_count(rate));
  if (total_ > 0 && rate > 0) {
    text += fmt::format(" {} left", format_duration(static_cast<double>(total_ - done_) / rate));
  }
  if (!note_.empty()) text += " " + note_;
  return text;
}

// A terminal that is gone must not end the work: fmt::print() would throw.
void ProgressBar::draw() { std::fputs(fmt::format("\r{}\033[K", line()).c_str(), stderr); }

}  // namespace opencloc

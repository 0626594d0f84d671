// A progress bar on stderr with rate and time left. Draws only on a terminal (or when forced);
// elsewhere it writes nothing, so logs stay readable.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

namespace opencloc {

class ProgressBar {
 public:
  // `total` 0 = unknown length. `unit` e.g. "samples". At most one bar is live at a time.
  ProgressBar(std::string label, int64_t total, std::string unit = "items");
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // Thread-safe. Adds `count` done items; redraws at most ten times a second.
  void advance(int64_t count = 1);
  // Text shown at the end of the bar, e.g. "loss 3.21".
  void set_note(std::string note);
  // Items that a resumed job had done already: counted as done, not in the rate.
  void start_at(int64_t done);
  // Removes the bar from the terminal; called by the destructor.
  void finish();

  // For the logger: take the live bar away before a line and put it back after.
  static void clear_live();
  static void redraw_live();

 private:
  std::string line() const;
  void draw();

  using Clock = std::chrono::steady_clock;
  const std::string label_;
  const std::string unit_;
  const int64_t total_;
  const bool visible_;
  std::mutex mutex_;
  int64_t done_ = 0;
  int64_t start_ = 0;
  std::string note_;
  std::atomic<bool> finished_ = false;  // clear_live() looks without the lock
  Clock::time_point began_;
  Clock::time_point drawn_;
};

// 75 -> "1:15", 3700 -> "1:01:40".
std::string format_duration(double seconds);
// 12345 -> "12.3 k", for counts and rates.
std::string format_count(double value);

}  // namespace opencloc

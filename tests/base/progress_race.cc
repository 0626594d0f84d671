// Built with ThreadSanitizer, which fails the test: a bar that ends while other threads log lines.
// On a terminal of its own, since a bar is drawn on terminals only.
#include <atomic>
#include <cstdio>
#include <thread>

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "opencloc/base/progress.h"

int main() {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal < 0 || ::grantpt(terminal) != 0 || ::unlockpt(terminal) != 0) {
    std::puts("skipped: no terminal can be made");
    return 0;
  }
  const int report = ::dup(STDERR_FILENO);
  const int other = ::open(::ptsname(terminal), O_RDWR | O_NOCTTY);
  ::dup2(other, STDERR_FILENO);
  std::thread reader([&] {  // a terminal nobody reads from fills up
    char text[4096];
    while (::read(terminal, text, sizeof text) > 0) {
    }
  });
  for (int round = 0; round < 20; ++round) {
    opencloc::ProgressBar bar("test", 100, "items");
    std::atomic<bool> stop{false};
    std::thread logger([&] {
      while (!stop) {
        opencloc::ProgressBar::clear_live();
        opencloc::ProgressBar::redraw_live();
      }
    });
    for (int i = 0; i < 100; ++i) bar.advance();
    bar.finish();
    stop = true;
    logger.join();
  }
  std::fflush(stderr);
  ::dup2(report, STDERR_FILENO);
  ::close(other);  // ends the reader
  reader.join();
  return 0;
}

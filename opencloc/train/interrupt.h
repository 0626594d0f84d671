// SIGINT, SIGTERM and SIGUSR1 (Slurm's, before its time limit) ask a run to stop after the step at
// hand, with a checkpoint; a second signal ends the process at once.
#pragma once

namespace opencloc {

class InterruptGuard {
 public:
  InterruptGuard();   // installs the handlers
  ~InterruptGuard();  // puts the earlier ones back
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  static bool requested();
};

}  // namespace opencloc

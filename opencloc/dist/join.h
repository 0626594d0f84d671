// Joining the processes of a job over a network: Gloo, by c10d.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "opencloc/base/error.h"
#include "opencloc/dist/group.h"
#include "opencloc/dist/place.h"

namespace opencloc::dist {

struct JoinOptions {
  // auto: where there is more than one process NCCL for what lies on GPUs, if each has its own, and
  // Gloo for all else. gloo: what lies on GPUs goes by way of main memory. nccl: as auto, and an
  // error where NCCL cannot be used. none: one process, whatever the launcher says.
  std::string backend = "auto";
  int gpu = -1;  // the number of the GPU this process computes on; -1: none
  // How long a call, or the others' arrival, may take. A process that hangs ends the job after it.
  std::chrono::seconds timeout{600};
  // Network interface to use ("eth0"); empty: the one that leads to rank 0.
  std::string interface {};
  // Ends the process with the error's exit code, from another thread: a call waits for a process
  // that failed, and does not end by itself. Empty: the error is logged first.
  std::function<void(const Error& error)> give_up{};
};

// Joins the job, does `work`, and leaves the job when all processes have done theirs. What `work`
// throws is told to the others, in whose `work` the next call of the group throws an Error that
// names the cause. Alone where place.size is 1.
void in_group(const Place& place, const JoinOptions& options,
              const std::function<void(Group& group)>& work);

// Has a group of this process failed? Threads that wait for processes that are gone are then left
// behind: end the process without destroying what is static (std::_Exit).
bool group_failed();

}  // namespace opencloc::dist

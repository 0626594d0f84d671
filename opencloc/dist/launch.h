// Starts one command as several processes of one job, as torchrun does where Python is.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace opencloc::dist {

struct LaunchOptions {
  int processes = 1;                // on this machine
  int nodes = 1;                    // machines, on each of which a launcher runs
  int node_rank = 0;                // of this machine, in [0, nodes)
  std::string host = "127.0.0.1";   // where the processes meet: the machine with node_rank 0
  int port = 0;                     // 0: a free one, with one machine
  int max_restarts = 0;             // of all processes, after one failed
  std::filesystem::path log_dir{};  // what each rank writes, a file each; empty: none
};

// Starts `command` (a program's path and its arguments) with RANK, WORLD_SIZE, LOCAL_RANK,
// LOCAL_WORLD_SIZE, GROUP_RANK, MASTER_ADDR, MASTER_PORT, TORCHELASTIC_RESTART_COUNT set. Where one
// fails the others are ended. Passes SIGTERM, SIGINT and SIGUSR1 on. Standard output and error of
// rank 0 are the launcher's; lines of others carry their rank, and of their errors only the first
// one is shown. Returns when all have ended: 0, or the exit code of the first that failed (128 +
// the signal that killed it). Throws Error: (input) for options that make no sense, (failed) when a
// process cannot be started.
int launch(const std::vector<std::string>& command, const LaunchOptions& options);

}  // namespace opencloc::dist

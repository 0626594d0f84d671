// `opencloc launch`: one command as several processes.
#include "opencloc/dist/launch.h"

#include <cstdlib>
#include <filesystem>
#include <memory>

#include "opencloc/base/error.h"
#include "opencloc/cli/verb.h"

namespace opencloc::cli {
namespace {

constexpr const char* kLaunchFooter = R"(Examples:
  opencloc launch --processes 2 -- train --data scenes --model ViT-XS-16-128 --steps 1000 --out runs/demo
  # two machines, the same command on each, only --node-rank differs
  opencloc launch --processes 8 --nodes 2 --node-rank 0 --master n01:29500 -- train --data scenes --out runs/demo

torchrun, srun, mpirun and Kubernetes start the processes as well (docs/guide/many_machines.md).)";

struct LaunchFlags {
  dist::LaunchOptions options;
  std::string master, log_dir;
  std::vector<std::string> command;
};

// Kubeflow's and torchrun's names for the same.
void add_launch_flags(CLI::App& app, LaunchFlags& flags) {
  auto& options = flags.options;
  app.add_option("--processes,--nproc-per-node", options.processes, "processes on this machine")
      ->envname("PET_NPROC_PER_NODE")
      ->capture_default_str();
  app.add_option("--nodes,--nnodes", options.nodes, "machines, on each of which launch runs")
      ->envname("PET_NNODES")
      ->capture_default_str();
  app.add_option("--node-rank", options.node_rank, "number of this machine, from 0")
      ->envname("PET_NODE_RANK")
      ->capture_default_str();
  app.add_option("--master", flags.master,
                 "HOST:PORT on the machine with node rank 0, where the processes meet");
  app.add_option("--max-restarts", options.max_restarts,
                 "how often all processes are started again after one failed")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  app.add_option("--log-dir", flags.log_dir, "folder for what each rank writes");
}

void set_master(LaunchFlags& flags) {
  if (flags.master.empty()) {
    const char* host = std::getenv("PET_MASTER_ADDR");
    const char* port = std::getenv("PET_MASTER_PORT");
    if (host == nullptr || port == nullptr) return;
    flags.master = std::string(host) + ":" + port;
  }
  const size_t colon = flags.master.rfind(':');
  const int port = colon == std::string::npos ? 0 : std::atoi(flags.master.c_str() + colon + 1);
  if (port < 1 || port > 65535)
    throw Error::input("no place to meet", "--master " + flags.master, "give HOST:PORT");
  flags.options.host = flags.master.substr(0, colon);
  flags.options.port = port;
}

}  // namespace

void add_launch(CLI::App& app) {
  const auto flags = std::make_shared<LaunchFlags>();
  add_launch_flags(app, *flags);
  app.add_option("command", flags->command, "a verb of opencloc and its flags, after --")
      ->type_name("-- VERB ...")
      ->required();
  app.footer(kLaunchFooter);
  app.callback([flags] {
    set_master(*flags);
    flags->options.log_dir = flags->log_dir;
    auto command = flags->command;
    command.insert(command.begin(), std::filesystem::read_symlink("/proc/self/exe").string());
    if (const int code = dist::launch(command, flags->options); code != 0) throw EndedBefore{code};
  });
}

}  // namespace opencloc::cli

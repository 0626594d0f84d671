#include "opencloc/cli/dist_flags.h"

#include <algorithm>
#include <cstdlib>
#include <set>
#include <sstream>

#include "opencloc/cli/flag_names.h"
#include "opencloc/cli/train_flags.h"
#include "opencloc/cli/verb.h"
#include "opencloc/train/start_together.h"

namespace opencloc::cli {

void add_dist_flags(CLI::App& app, DistFlags& flags) {
  const char* group = "Several processes (docs/guide/many_machines.md)";
  app.add_option(
         "--dist-backend", flags.backend,
         "auto: as the launcher says, GPUs over NCCL where each process has its own; gloo: by "
         "way of main memory; none: ignore the launcher, one process")
      ->check(CLI::IsMember({"auto", "gloo", "nccl", "none"}))
      ->capture_default_str()
      ->group(group);
  app.add_option("--dist-url", flags.url,
                 "where the processes meet: tcp://HOST:PORT of rank 0; without it as the launcher "
                 "says")
      ->group(group);
  app.add_option("--dist-interface", flags.interface,
                 "network interface, e.g. eth0; without it the one that leads to rank 0, or "
                 "$GLOO_SOCKET_IFNAME")
      ->group(group);
  app.add_option("--dist-timeout", flags.timeout,
                 "seconds that a process waits for the others before it gives up")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str()
      ->group(group);
}

void require_same_flags(const CLI::App& app, dist::Group& group) {
  static const std::set<std::string> kOfOneProcess = {
      "out",    "append-to", "json",         "threads",        "cache-dir",    "cache-gb",
      "device", "dist-url",  "dist-backend", "dist-interface", "dist-timeout",
  };
  std::string lines;
  std::istringstream all(effective_flags(app));
  for (std::string line; std::getline(all, line);)
    if (!kOfOneProcess.contains(line.substr(0, line.find(" = ")))) lines += line + "\n";
  require_equal(group, lines);
}

dist::Place place_of(const DistFlags& flags) {
  return flags.backend == "none" ? dist::Place{} : dist::place_from_environment(flags.url);
}

void in_job(const DistFlags& flags, const dist::Place& place, torch::Device device,
            const std::function<void(dist::Group& group)>& work) {
  dist::JoinOptions options;
  options.backend = flags.backend;
  options.timeout = std::chrono::seconds(flags.timeout);
  options.interface = flags.interface;
  options.gpu = device.is_cuda() ? std::max<int>(0, device.index()) : -1;
  if (const char* named = std::getenv("GLOO_SOCKET_IFNAME");
      named != nullptr && flags.interface.empty())
    options.interface = named;
  options.give_up = [](const Error& error) {
    std::_Exit(report_error(in_flags(error.what()), error.exit_code()));
  };
  dist::in_group(place, options, work);
}

}  // namespace opencloc::cli

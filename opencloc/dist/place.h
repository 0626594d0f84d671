// Which process of a job this one is, as whatever started it says.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace opencloc::dist {

struct Place {
  int rank = 0;  // in [0, size)
  int size = 1;
  int local_rank = 0;  // among the processes of this machine, in [0, local_size)
  int local_size = 1;
  // Where the processes meet: the store at host:port, which rank 0 keeps, or the launcher itself.
  std::string host;
  int port = 0;
  bool launcher_keeps_store = false;
  int attempt = 0;       // how often the launcher has started the job anew
  std::string launcher;  // "torchrun", "srun", ...; empty: none
};

// std::getenv, or a test's.
using Variables = std::function<const char*(const char*)>;

// From the variables of torchrun, opencloc launch and Kubeflow (RANK, WORLD_SIZE), Open MPI, MPICH
// and Intel MPI, srun, and a Kubernetes Indexed Job, in this order: under `srun torchrun`
// SLURM_PROCID is the number of the machine. `url` (tcp://HOST:PORT), where it is not empty, is
// where they meet, else MASTER_ADDR and MASTER_PORT, else what the launcher lets us know. Without a
// launcher: rank 0 of 1. Throws Error (input) for what makes no sense. `host` stays empty when
// processes of several machines have no place to meet.
Place place_from(const Variables& variable, const std::string& url = {});

// The same from the process's environment.
Place place_from_environment(const std::string& url = {});

// The first host of Slurm's "n[003-007,9],m1": n003.
std::string first_host(const std::string& node_list);

}  // namespace opencloc::dist

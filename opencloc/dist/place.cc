#include "opencloc/dist/place.h"

#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "opencloc/base/error.h"

namespace opencloc::dist {
namespace {

constexpr int kDefaultPort = 29500;  // torchrun's
constexpr const char* kMend =
    "start the processes with opencloc launch, torchrun, srun or mpirun, or unset the variable";

// What each launcher calls the four numbers; null: it does not say.
struct Names {
  const char* launcher;
  const char* rank;
  const char* size;
  const char* local_rank;
  const char* local_size;
};
constexpr std::array<Names, 5> kLaunchers = {{
    {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"},
    {"Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_LOCAL_SIZE"},
    {"MPI", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"},
    {"srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", nullptr},
    {"Kubernetes", "JOB_COMPLETION_INDEX", "WORLD_SIZE", nullptr, nullptr},
}};

std::optional<std::string> variable_text(const Variables& variable, const char* name) {
  const char* value = name == nullptr ? nullptr : variable(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

std::optional<int> number(const Variables& variable, const char* name) {
  const auto value = variable_text(variable, name);
  if (!value) return std::nullopt;
  int parsed = 0;
  const char* end = value->data() + value->size();
  if (const auto read = std::from_chars(value->data(), end, parsed);
      read.ec != std::errc() || read.ptr != end) {
    throw Error::input("$" + std::string(name) + " is '" + *value + "', not a number", "", kMend);
  }
  return parsed;
}

// Slurm's "4(x3),2": the tasks of the first machine; all machines have as many or it is not even.
int tasks_of_node(const Variables& variable, int node, int size) {
  const auto list = variable_text(variable, "SLURM_STEP_TASKS_PER_NODE");
  if (!list) return size;
  int at = 0;
  for (const char* c = list->c_str(); *c != '\0';) {
    char* end = nullptr;
    const int tasks = static_cast<int>(std::strtol(c, &end, 10));
    int repeats = 1;
    if (end[0] == '(' && end[1] == 'x') {
      repeats = static_cast<int>(std::strtol(end + 2, &end, 10));
      if (*end == ')') ++end;
    }
    if (end == c) break;
    if (node < at + repeats) return tasks;
    at += repeats;
    c = *end == ',' ? end + 1 : end;
  }
  return size;
}

// Every job of a cluster has a port of its own.
int port_of_job(const Variables& variable) {
  const int job = number(variable, "SLURM_JOB_ID").value_or(0);
  const int step = number(variable, "SLURM_STEP_ID").value_or(0);
  return 20000 + (job * 7 + step) % 20000;
}

void meet_at(const std::string& url, Place& place) {
  constexpr std::string_view kScheme = "tcp://";
  const size_t colon = url.rfind(':');
  if (!url.starts_with(kScheme) || colon < kScheme.size() + 1)
    throw Error::input("not a place to meet", "setting 'dist_url=" + url + "'",
                       "give tcp://HOST:PORT of the process with rank 0");
  place.host = url.substr(kScheme.size(), colon - kScheme.size());
  place.port = std::atoi(url.c_str() + colon + 1);
  if (place.port < 1 || place.port > 65535)
    throw Error::input("no port from 1 to 65535", "setting 'dist_url=" + url + "'",
                       "give tcp://HOST:PORT of the process with rank 0");
}

// Where the launcher's processes meet.
void find_meeting(const Variables& variable, Place& place) {
  place.port = number(variable, "MASTER_PORT").value_or(kDefaultPort);
  if (const auto host = variable_text(variable, "MASTER_ADDR")) {
    place.host = *host;
  } else if (const auto nodes = variable_text(variable, "SLURM_STEP_NODELIST");
             nodes && place.launcher == "srun") {
    place.host = first_host(*nodes);
    if (!variable_text(variable, "MASTER_PORT")) place.port = port_of_job(variable);
  } else if (place.local_size == place.size) {
    place.host = "127.0.0.1";
  }
}

}  // namespace

std::string first_host(const std::string& node_list) {
  const size_t bracket = node_list.find_first_of("[,");
  if (bracket == std::string::npos || node_list[bracket] == ',')
    return node_list.substr(0, bracket);
  const size_t end = node_list.find_first_of("-,]", bracket + 1);
  return node_list.substr(0, bracket) + node_list.substr(bracket + 1, end - bracket - 1);
}

Place place_from(const Variables& variable, const std::string& url) {
  Place place;
  const Names* names = nullptr;
  for (const auto& launcher : kLaunchers) {
    const auto rank = number(variable, launcher.rank), size = number(variable, launcher.size);
    if (!rank || !size) continue;
    place.rank = *rank;
    place.size = *size;
    names = &launcher;
    break;
  }
  if (names == nullptr) return place;
  place.launcher = names->launcher;
  if (variable_text(variable, "OPENCLOC_LAUNCH")) place.launcher = "opencloc launch";
  const bool of_slurm = place.launcher == "srun", one_each = names->local_rank == nullptr;
  place.local_rank = number(variable, names->local_rank).value_or(0);
  // PyTorchJob's pods hold one process and say nothing of local ones.
  const bool says_local = number(variable, names->local_rank).has_value();
  place.local_size =
      of_slurm
          ? tasks_of_node(variable, number(variable, "SLURM_NODEID").value_or(0), place.size)
          : number(variable, names->local_size).value_or(one_each || !says_local ? 1 : place.size);
  if (place.rank < 0 || place.rank >= place.size || place.local_rank < 0 ||
      place.local_rank >= place.local_size) {
    throw Error::input(place.launcher + " makes this process " + std::to_string(place.rank) +
                           " of " + std::to_string(place.size) + ", on its machine " +
                           std::to_string(place.local_rank) + " of " +
                           std::to_string(place.local_size),
                       std::string("$") + names->rank, kMend);
  }
  place.attempt = number(variable, "TORCHELASTIC_RESTART_COUNT").value_or(0);
  const auto agent = variable_text(variable, "TORCHELASTIC_USE_AGENT_STORE");
  place.launcher_keeps_store = agent && *agent == "True" && url.empty();
  if (place.size == 1) return place;
  if (url.empty()) {
    find_meeting(variable, place);
  } else {
    meet_at(url, place);
  }
  return place;
}

Place place_from_environment(const std::string& url) {
  return place_from([](const char* name) { return std::getenv(name); }, url);
}

}  // namespace opencloc::dist

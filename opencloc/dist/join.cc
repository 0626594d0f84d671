#include "opencloc/dist/join.h"

#include <atomic>
#include <thread>

#include <torch/utils.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/base/host_name.h"
#include "opencloc/base/log.h"
#include "opencloc/dist/address.h"
#include "opencloc/dist/gloo.h"
#include "opencloc/dist/nccl.h"
#include "opencloc/dist/staged.h"

namespace opencloc::dist {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

std::atomic<bool> failed{false};

// "n02, pid 812".
std::string own_name() { return host_name() + ", pid " + std::to_string(getpid()); }

std::string missing_ranks(Store& store, int size) {
  std::string ranks;
  int missing = 0;
  for (int rank = 0; rank < size; ++rank) {
    if (store.get("who/" + std::to_string(rank))) continue;
    if (++missing <= 8) ranks += (missing > 1 ? ", " : "") + std::to_string(rank);
  }
  return std::to_string(missing) + " of " + std::to_string(size) + " processes: rank" +
         (missing > 1 ? "s " : " ") + ranks + (missing > 8 ? ", ..." : "");
}

// The others see it, and say the same, before rank 0 takes the store along.
[[noreturn]] void give_up_waiting(Store& store, const Place& place) {
  const Error error =
      Error::failed("these processes never came: " + missing_ranks(store, place.size),
                    "$WORLD_SIZE " + std::to_string(place.size),
                    "see whether all of them were started, with the same place to meet");
  store.set_first(kFailureKey, failure_note(place.rank, error.what(), error.kind()));
  if (place.rank == 0) std::this_thread::sleep_for(500ms);
  throw error;
}

void wait_for_all(Store& store, const Place& place, std::chrono::seconds timeout) {
  const auto began = Clock::now();
  auto warned = began;
  while (store.add("joined", 0) < place.size) {
    if (const auto note = store.get(kFailureKey))
      throw Error(ErrorKind::kFailed, message_of_note(*note));
    if (Clock::now() - began > timeout) give_up_waiting(store, place);
    if (place.rank == 0 && Clock::now() - warned > 30s) {
      warned = Clock::now();
      log::warn("waiting for {}", missing_ranks(store, place.size));
    }
    std::this_thread::sleep_for(20ms);
  }
}

// Says that this process is here; returns the names of all when all are.
std::vector<std::string> meet(Store& store, const Place& place, std::chrono::seconds timeout) {
  std::vector<std::string> who;
  try {
    store.set("who/" + std::to_string(place.rank), own_name());
    store.add("joined", 1);
    wait_for_all(store, place, timeout);
    for (int rank = 0; rank < place.size; ++rank)
      who.push_back(store.get("who/" + std::to_string(rank)).value_or("?"));
  } catch (const Error&) {
    throw;
  } catch (const std::exception&) {  // of the store
    throw Error::failed("rank 0 went away before all processes had joined",
                        place.host + ":" + std::to_string(place.port), kRunAgain);
  }
  return who;
}

void log_and_end(const Error& error) {
  log::error("{}", error.what());
  std::_Exit(error.exit_code());
}

std::shared_ptr<Job> join(const Place& place, const JoinOptions& options) {
  if (place.host.empty())
    throw Error::input(place.launcher +
                           " started processes on several machines and says nowhere "
                           "where they meet",
                       "setting 'dist_url'", "give tcp://HOST:PORT of the process with rank 0");
  auto job = std::make_shared<Job>();
  job->place = place;
  job->options = options;
  job->address = address_towards(place.host, place.port, place.local_size < place.size);
  const bool serve = place.rank == 0 && !place.launcher_keeps_store;
  job->store = std::make_unique<Store>(place, serve, options.timeout);
  auto who = meet(*job->store, place, options.timeout);
  job->health =
      std::make_unique<Health>(std::make_unique<Store>(place, false, options.timeout), place.rank,
                               std::move(who), options.give_up ? options.give_up : log_and_end);
  return job;
}

// Has every process of this machine a GPU of its own?
bool own_gpu(const Place& place, const JoinOptions& options) {
  return place.local_size == 1 || options.gpu == place.local_rank;
}

// Over what the tensors go.
std::unique_ptr<Group> connect_all(const std::shared_ptr<Job>& job, const std::string& name) {
  auto host = make_gloo_group(job, name);
  const auto& options = job->options;
  const bool asked = options.backend == "nccl";
  if (asked && options.gpu < 0)
    throw Error::input("NCCL is for processes that compute on GPUs", "setting 'dist_backend=nccl'",
                       "use the setting 'dist_backend=gloo', or the setting 'device=cuda'");
  if (options.gpu < 0 || options.backend == "gloo") return make_staged_group(std::move(host));
  // NCCL refuses two processes on one GPU. All of them decide the same.
  auto cannot = torch::full({1}, why_no_nccl().empty() && own_gpu(job->place, options) ? 0 : 1,
                            torch::kInt64);
  host->max(cannot);
  if (cannot.item<int64_t>() == 0) return make_nccl_group(job, std::move(host), options.gpu, name);
  if (asked)
    throw Error::input(
        "NCCL cannot be used: " +
            (why_no_nccl().empty() ? "several processes share a GPU" : why_no_nccl()),
        "setting 'dist_backend=nccl'", "use the setting 'dist_backend=gloo'");
  if (host->is_first())
    log::info("GPUs exchange by way of main memory: {}",
              why_no_nccl().empty() ? "several processes share one" : why_no_nccl());
  return make_staged_group(std::move(host));
}

// What goes to stderr of a process that is not the first: its warnings, with its rank.
void log_as(const Place& place) {
  if (place.rank == 0) return;
  log::set_level(log::Level::kWarn);
  log::set_prefix("[rank " + std::to_string(place.rank) + " " + host_name() + "] ");
}

}  // namespace

bool group_failed() { return failed; }
void set_group_failed() { failed = true; }

void in_group(const Place& place, const JoinOptions& options,
              const std::function<void(Group& group)>& work) {
  if (place.size == 1 || options.backend == "none") return work(alone());
  log_as(place);
  const auto job = join(place, options);
  const auto fail = [&](const std::string& message, ErrorKind kind) {
    failed = true;
    job->health->tell(message, kind);
    job->health->stop();
  };
  std::unique_ptr<Group> group;  // outlives the failure of `work`
  try {
    group = connect_all(job, "main");
    work(*group);
    // Nobody leaves, and takes the store along, before all are done.
    auto done = torch::zeros({1}, torch::kInt64);
    group->at("the end");
    group->sum(done);
    job->health->stop();
    group->sum(done);
  } catch (const Error& error) {
    fail(error.what(), error.kind());
    throw;
  } catch (const std::exception& error) {
    fail(error.what(), ErrorKind::kFailed);
    throw;
  }
}

}  // namespace opencloc::dist

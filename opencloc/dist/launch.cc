#include "opencloc/dist/launch.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <optional>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"
#include "opencloc/dist/address.h"
#include "opencloc/dist/health.h"
#include "opencloc/dist/store.h"

namespace opencloc::dist {
namespace {

using LaunchClock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kOnTheirOwn = 4s;   // what the others have to find out that one failed, and to end
constexpr auto kUntold = 2s;       // the same where nobody can tell them, for want of a store
constexpr auto kToTerminate = 5s;  // after SIGTERM
constexpr auto kToConnect = 300ms;
constexpr auto kToTell = 2s;  // what the store has to answer in
constexpr auto kTick = 50ms;
constexpr const char* kError = "opencloc: error: ";

// Signals that came for the launcher, by number.
std::array<volatile std::sig_atomic_t, 64> came{};
void on_launcher_signal(int signal) { came[static_cast<size_t>(signal)] = 1; }

// While it lives, signals are noted and not obeyed.
class Signals {
 public:
  Signals() {
    struct sigaction action {};
    action.sa_handler = on_launcher_signal;
    for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &old_[i]);
  }
  ~Signals() {
    for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &old_[i], nullptr);
  }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  // The next one that came.
  static std::optional<int> take() {
    for (const int signal : kSignals) {
      if (came[static_cast<size_t>(signal)] == 0) continue;
      came[static_cast<size_t>(signal)] = 0;
      return signal;
    }
    return std::nullopt;
  }

 private:
  static constexpr std::array<int, 3> kSignals = {SIGINT, SIGTERM, SIGUSR1};
  std::array<struct sigaction, 3> old_{};
};

struct Child {
  int rank = 0;
  pid_t pid = -1;
  int lines = -1;  // reading end of what it writes; -1: it writes for itself
  FILE* log = nullptr;
  std::string rest;   // of a line that has not ended
  std::string error;  // its last error line
  std::optional<int> status;
};

// Replaces this process (a child after fork, where little may be called).
[[noreturn]] void become(const std::vector<char*>& arguments, const std::vector<char*>& variables,
                         int output, bool also_stdout) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);  // a launcher that was killed takes its processes along
  setpgid(0, 0);                     // Ctrl-C comes through the launcher, once
  if (output >= 0) {
    dup2(output, STDERR_FILENO);
    if (also_stdout) dup2(output, STDOUT_FILENO);
  }
  execve(arguments[0], arguments.data(), variables.data());
  _exit(127);
}

std::vector<std::string> environment(const LaunchOptions& options, int port, int attempt,
                                     int local_rank) {
  const std::vector<std::pair<std::string, std::string>> own = {
      {"RANK", std::to_string(options.node_rank * options.processes + local_rank)},
      {"WORLD_SIZE", std::to_string(options.nodes * options.processes)},
      {"LOCAL_RANK", std::to_string(local_rank)},
      {"LOCAL_WORLD_SIZE", std::to_string(options.processes)},
      {"GROUP_RANK", std::to_string(options.node_rank)},
      {"MASTER_ADDR", options.host},
      {"MASTER_PORT", std::to_string(port)},
      {"TORCHELASTIC_RESTART_COUNT", std::to_string(attempt)},
      {"TORCHELASTIC_USE_AGENT_STORE", "False"},
      {"OPENCLOC_LAUNCH", "1"}};
  std::vector<std::string> all;
  for (char** at = environ; *at != nullptr; ++at) {
    const std::string entry = *at, name = entry.substr(0, entry.find('='));
    bool ours = false;
    for (const auto& [key, value] : own) ours = ours || key == name;
    if (!ours) all.push_back(entry);
  }
  for (const auto& [key, value] : own) all.push_back(key + "=" + value);
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (auto& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

class Attempt {
 public:
  Attempt(const std::vector<std::string>& command, const LaunchOptions& options, int number)
      : options_(options), port_(options.port > 0 ? options.port : free_port()) {
    for (int local = 0; local < options.processes; ++local) start(command, port_, number, local);
  }
  ~Attempt() {
    for (auto& child : children_) {
      if (!child.status) kill(-child.pid, SIGKILL), waitpid(child.pid, nullptr, 0);
      if (child.lines >= 0) close(child.lines);
      if (child.log != nullptr) std::fclose(child.log);
    }
  }
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;

  // Until all have ended. 0 or the exit code of the first that failed.
  int wait() {
    while (running()) {
      if (const auto signal = Signals::take()) {
        asked_to_stop_ = true;
        send(*signal);
      }
      read_lines();
      collect();
      end_the_rest();
    }
    read_lines();
    for (auto& child : children_)
      if (!child.rest.empty()) show(child, child.rest);
    report();
    return first_failed_ == nullptr ? 0 : code_of(*first_failed_->status);
  }
  bool asked_to_stop() const { return asked_to_stop_; }

 private:
  static int code_of(int status) {
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  void start(const std::vector<std::string>& command, int port, int attempt, int local) {
    Child child;
    child.rank = options_.node_rank * options_.processes + local;
    int ends[2] = {-1, -1};
    const bool for_itself = child.rank == 0 && options_.log_dir.empty();
    if (!for_itself && pipe2(ends, O_CLOEXEC) != 0)
      throw Error::failed("no pipe can be opened (" + errno_text() + ")");
    if (!options_.log_dir.empty()) {
      const auto path = options_.log_dir / ("rank-" + std::to_string(child.rank) + ".log");
      child.log = std::fopen(path.c_str(), "a");
      if (child.log == nullptr)
        throw Error::failed("cannot write (" + errno_text() + ")", path.string());
    }
    auto arguments = command, variables = environment(options_, port, attempt, local);
    const auto argv = pointers(arguments), envp = pointers(variables);
    child.pid = fork();
    if (child.pid < 0)
      throw Error::failed("process " + std::to_string(child.rank) + " cannot be started (" +
                          errno_text() + ")");
    if (child.pid == 0) become(argv, envp, ends[1], child.rank != 0);
    if (ends[1] >= 0) close(ends[1]);
    child.lines = ends[0];
    if (child.lines >= 0) fcntl(child.lines, F_SETFL, O_NONBLOCK);
    children_.push_back(std::move(child));
  }

  bool running() const {
    for (const auto& child : children_)
      if (!child.status) return true;
    return false;
  }

  void send(int signal) {
    for (const auto& child : children_)
      if (!child.status) kill(-child.pid, signal);
  }

  // Waits a tick for something to read.
  void read_lines() {
    std::vector<pollfd> wanted;
    for (const auto& child : children_)
      if (child.lines >= 0) wanted.push_back({child.lines, POLLIN, 0});
    poll(wanted.data(), wanted.size(), static_cast<int>(kTick.count()));
    for (auto& child : children_) {
      std::array<char, 4096> buffer{};
      ssize_t got = 0;
      while (child.lines >= 0 && (got = read(child.lines, buffer.data(), buffer.size())) > 0)
        take(child, {buffer.data(), static_cast<size_t>(got)});
      if (child.lines >= 0 && got == 0) close(child.lines), child.lines = -1;
    }
  }

  void take(Child& child, std::string_view text) {
    child.rest.append(text);
    for (size_t end = child.rest.find('\n'); end != std::string::npos;
         end = child.rest.find('\n')) {
      show(child, child.rest.substr(0, end));
      child.rest.erase(0, end + 1);
    }
  }

  static void show(Child& child, const std::string& line) {
    if (child.log != nullptr) std::fprintf(child.log, "%s\n", line.c_str()), std::fflush(child.log);
    if (line.starts_with(kError)) {
      child.error = line;
    } else if (child.rank == 0 || line.find("[rank ") != std::string::npos) {
      std::fprintf(stderr, "%s\n", line.c_str());
    } else {
      std::fprintf(stderr, "[rank %d] %s\n", child.rank, line.c_str());
    }
  }

  void collect() {
    for (auto& child : children_) {
      int status = 0;
      if (child.status || waitpid(child.pid, &status, WNOHANG) != child.pid) continue;
      child.status = status;
      if (code_of(status) == 0 || first_failed_ != nullptr) continue;
      first_failed_ = &child;
      failed_at_ = LaunchClock::now();
    }
  }

  // A process that was killed leaves no note, and the others would have to find out by its silence.
  // The store goes with rank 0: the others notice that at once.
  void tell_the_others() {
    const Child& killed = *first_failed_;
    if (told_ || !WIFSIGNALED(*killed.status) || killed.rank == 0) return;
    if (!somebody_listens(options_.host, port_, kToConnect)) return;  // not yet, or not any more
    Place place;
    place.host = options_.host;
    place.port = port_;
    try {
      Store(place, /*serve=*/false, kToTell)
          .set_first(kFailureKey, failure_note(killed.rank, death_of(killed) + ": " + kRunAgain,
                                               ErrorKind::kFailed));
      told_ = true;
    } catch (const std::exception&) {
      // Rank 0 ended just now. Without the store the others end by themselves, or are ended.
    }
  }

  static std::string death_of(const Child& child) {
    const int signal = WTERMSIG(*child.status);
    return "rank " + std::to_string(child.rank) + " was killed by signal " +
           std::to_string(signal) + " (" + strsignal(signal) + ")";
  }

  void end_the_rest() {
    if (first_failed_ == nullptr) return;
    const auto since = LaunchClock::now() - failed_at_;
    if (since < kUntold && running()) tell_the_others();
    const auto on_their_own = WIFSIGNALED(*first_failed_->status) && !told_ ? kUntold : kOnTheirOwn;
    if (since > on_their_own && !terminated_) send(SIGTERM), terminated_ = true;
    if (since > on_their_own + kToTerminate) send(SIGKILL);
  }

  // The first error, last: what others say came of it.
  void report() const {
    if (first_failed_ == nullptr) return;
    const int status = *first_failed_->status;
    // Rank 0 was told, and has said so itself.
    const Child& first = children_.front();
    if (told_ && first.rank == 0 && first.lines < 0 && first.log == nullptr &&
        WIFEXITED(*first.status) && WEXITSTATUS(*first.status) != 0)
      return;
    if (!first_failed_->error.empty()) {
      std::fprintf(stderr, "%s\n", first_failed_->error.c_str());
    } else if (WIFSIGNALED(status)) {
      std::fprintf(stderr, "%s%s\n", kError, death_of(*first_failed_).c_str());
    } else if (first_failed_->rank != 0 || WEXITSTATUS(status) == 127) {
      std::fprintf(stderr, "%srank %d ended with exit code %d\n", kError, first_failed_->rank,
                   WEXITSTATUS(status));
    }
  }

  const LaunchOptions& options_;
  const int port_;
  std::vector<Child> children_;
  const Child* first_failed_ = nullptr;
  LaunchClock::time_point failed_at_;
  bool told_ = false, terminated_ = false, asked_to_stop_ = false;
};

void check(const LaunchOptions& options) {
  if (options.processes < 1 || options.nodes < 1)
    throw Error::input("no process is left to start", "settings 'processes' and 'nodes'",
                       "give 1 or more of each");
  if (options.node_rank < 0 || options.node_rank >= options.nodes)
    throw Error::input("the machines are numbered from 0 to " + std::to_string(options.nodes - 1),
                       "setting 'node_rank=" + std::to_string(options.node_rank) + "'",
                       "number each machine once");
  if (options.nodes > 1 && (options.port == 0 || options.host == "127.0.0.1"))
    throw Error::input("the machines have no place to meet", "setting 'master'",
                       "give HOST:PORT of the machine with node rank 0");
}

}  // namespace

int launch(const std::vector<std::string>& command, const LaunchOptions& options) {
  check(options);
  if (!options.log_dir.empty()) std::filesystem::create_directories(options.log_dir);
  const Signals signals;
  for (int attempt = 0;; ++attempt) {
    Attempt running(command, options, attempt);
    const int code = running.wait();
    // Wrong usage stays wrong.
    if (code == 0 || code == 2 || running.asked_to_stop() || attempt == options.max_restarts)
      return code;
    log::info("starting the processes again ({} of {} times)", attempt + 1, options.max_restarts);
  }
}

}  // namespace opencloc::dist

#include "opencloc/kernels/parallel.h"

#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>

#include <linux/futex.h>
#include <omp.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "opencloc/base/parallel_for.h"

namespace opencloc::kernels {
namespace {

using SteadyClock = std::chrono::steady_clock;

// How long a thread without work stays awake. Kernels of one step follow each other within some
// microseconds; waking a thread costs 5 to 50.
constexpr std::chrono::microseconds kSpin{200};
// The same while others want the processors: spinning would keep them from it, and in return the
// system would take our threads off their processors in the middle of their work.
constexpr std::chrono::microseconds kSpinBesideOthers{20};
// How often a thread asks whether it was taken off its processor, and how long that counts.
constexpr std::chrono::milliseconds kLook{1}, kRemember{20};

std::atomic<int> process_threads{0};
thread_local int innermost_limit = 0;   // of ThreadLimit; 0 = none
thread_local bool inside_body = false;  // bodies run on one thread

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

using Word = std::atomic<uint32_t>;
static_assert(sizeof(Word) == 4 && Word::is_always_lock_free);

void sleep_while(Word& word, uint32_t value) {
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}
void wake(Word& word, int threads) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, threads, nullptr, nullptr, 0);
}

// Until when others are taken to want the processors.
std::atomic<int64_t> beside_others_until{0};

// Asks the system, at most once per kLook, whether this thread was taken off its processor.
void look_for_others(SteadyClock::time_point now) {
  thread_local SteadyClock::time_point next_look;
  thread_local long taken_off = 0;
  if (now < next_look) return;
  next_look = now + kLook;
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  if (usage.ru_nivcsw != taken_off)
    beside_others_until.store((now + kRemember).time_since_epoch().count(),
                              std::memory_order_relaxed);
  taken_off = usage.ru_nivcsw;
}

// Waits while word == value: spins, then sleeps. `sleepers` counts those that must be woken.
void wait_while(Word& word, uint32_t value, Word& sleepers) {
  const auto began = SteadyClock::now();
  look_for_others(began);
  const bool alone =
      began.time_since_epoch().count() >= beside_others_until.load(std::memory_order_relaxed);
  const auto spin = alone ? kSpin : kSpinBesideOthers;
  for (auto now = began; now - began < spin; now = SteadyClock::now()) {
    for (int i = 0; i < 16; ++i) {
      if (word.load(std::memory_order_acquire) != value) return;
      relax();
    }
  }
  // Sequential consistency: either this thread sees the new value, or who sets it sees the sleeper.
  sleepers.fetch_add(1);
  while (word.load() == value) sleep_while(word, value);
  sleepers.fetch_sub(1);
}

// The pieces of one call.
struct Job {
  void (*call)(const void*, int64_t) = nullptr;
  const void* context = nullptr;
  int64_t count = 0;
  std::atomic<int64_t> next{0};
  std::mutex error_mutex;
  std::exception_ptr error;

  void work() {
    inside_body = true;
    for (int64_t i = next++; i < count; i = next++) {
      try {
        call(context, i);
      } catch (...) {
        next = count;
        const std::lock_guard lock(error_mutex);
        if (!error) error = std::current_exception();
      }
    }
    inside_body = false;
  }
};

// Threads that help whoever holds the team. A job is entered by its ticket: the upper bits count
// the jobs, the lower ones the places left, so that a thread that wakes late cannot enter a job
// that is over.
class Team {
 public:
  // Runs the job on this thread and up to `helpers` others; false = the team is busy.
  bool run(Job& job, int helpers) {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock) return false;
    helpers = std::min({helpers, kMostHelpers, grow(helpers)});
    if (helpers == 0) return false;
    job_ = &job;
    finished_.store(0, std::memory_order_relaxed);
    const uint32_t open = next_ticket() | static_cast<uint32_t>(helpers);
    ticket_.store(open);
    if (const uint32_t asleep = sleepers_.load(); asleep > 0)
      wake(ticket_, std::min(helpers, static_cast<int>(asleep)));
    job.work();
    const uint32_t left = ticket_.exchange(next_ticket()) & kPlaces;  // nobody enters from here on
    const auto entered = static_cast<uint32_t>(helpers) - left;
    for (uint32_t done = finished_.load(); done < entered; done = finished_.load())
      wait_while(finished_, done, waiting_);
    return true;
  }

 private:
  static constexpr uint32_t kPlaces = 0xfff;
  static constexpr int kMostHelpers = kPlaces;

  uint32_t next_ticket() const {
    return (ticket_.load(std::memory_order_relaxed) & ~kPlaces) + kPlaces + 1;
  }

  // Makes threads until there are `wanted`; where the system refuses, those there are must do.
  int grow(int wanted) {
    while (threads_ < wanted && !refused_) {
      try {
        std::thread([this] { serve(); }).detach();
        ++threads_;
      } catch (const std::system_error&) {
        refused_ = true;
      }
    }
    return threads_;
  }

  bool enter(uint32_t& ticket) {
    while ((ticket & kPlaces) != 0) {
      if (ticket_.compare_exchange_weak(ticket, ticket - 1)) return true;
    }
    return false;
  }

  [[noreturn]] void serve() {
    omp_set_num_threads(1);  // libraries called by a body stay on its thread
    for (;;) {
      uint32_t ticket = ticket_.load();
      while (enter(ticket)) {
        job_->work();
        finished_.fetch_add(1);
        if (waiting_.load() > 0) wake(finished_, 1);
        ticket = ticket_.load();
      }
      wait_while(ticket_, ticket, sleepers_);
    }
  }

  std::mutex mutex_;  // held by the caller that has the team
  Job* job_ = nullptr;
  int threads_ = 0;
  bool refused_ = false;
  Word ticket_{0};
  Word finished_{0};
  Word sleepers_{0}, waiting_{0};
};

// Never destroyed: its threads sleep in it until the process ends. A child after fork() has none of
// them and gets a team of its own.
std::atomic<Team*> the_team{nullptr};

Team& team() {
  Team* found = the_team.load(std::memory_order_acquire);
  if (found != nullptr) return *found;
  static std::mutex making;
  const std::lock_guard lock(making);
  found = the_team.load(std::memory_order_acquire);
  if (found == nullptr) {
    static const int at_fork = pthread_atfork(
        nullptr, nullptr, [] { the_team.store(nullptr, std::memory_order_release); });
    static_cast<void>(at_fork);
    found = new Team;
    the_team.store(found, std::memory_order_release);
  }
  return *found;
}

}  // namespace

int thread_count() {
  if (inside_body) return 1;
  if (innermost_limit > 0) return innermost_limit;
  const int set = process_threads.load(std::memory_order_relaxed);
  if (set > 0) return set;
  static const int all = available_cpus();
  return all;
}

void set_thread_count(int threads) { process_threads.store(std::max(0, threads)); }

ThreadLimit::ThreadLimit(int threads) : before_(innermost_limit) {
  if (threads > 0) innermost_limit = threads;
}
ThreadLimit::~ThreadLimit() { innermost_limit = before_; }

OneOpenMpThread::OneOpenMpThread() : before_(omp_get_max_threads()) {
  if (before_ != 1) omp_set_num_threads(1);
}
OneOpenMpThread::~OneOpenMpThread() {
  if (before_ != 1) omp_set_num_threads(before_);
}

void run_pieces(int64_t count, void (*call)(const void* context, int64_t i), const void* context) {
  const int threads = static_cast<int>(std::min<int64_t>(thread_count(), count));
  if (threads > 1) {
    Job job;
    job.call = call;
    job.context = context;
    job.count = count;
    if (team().run(job, threads - 1)) {
      if (job.error) std::rethrow_exception(job.error);
      return;
    }
  }
  for (int64_t i = 0; i < count; ++i) call(context, i);
}

}  // namespace opencloc::kernels

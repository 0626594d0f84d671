#include "opencloc/dist/health.h"

#include <algorithm>
#include <charconv>

#include "opencloc/base/json.h"
#include "opencloc/base/log.h"

namespace opencloc::dist {
namespace {

using HealthClock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kBeat = 500ms;         // between two signs of life
constexpr auto kBeatOfDoubt = 100ms;  // while somebody waits for an explanation
constexpr auto kGone = 2s;            // without a sign of life
constexpr auto kWarnAfter = 20s;      // in one call
constexpr auto kLongestDoubt = 5s;
constexpr auto kToEnd = 1500ms;  // what a call has to end by itself once a process failed

std::string seconds_since(HealthClock::time_point began) {
  return std::to_string(
      std::chrono::duration_cast<std::chrono::seconds>(HealthClock::now() - began).count());
}

}  // namespace

std::string failure_note(int rank, const std::string& message, ErrorKind kind) {
  return dump_json({{"rank", rank}, {"message", message}, {"input", kind == ErrorKind::kInput}});
}

std::string message_of_note(const std::string& note) {
  return parse_json(note, "note of a failure").at("message");
}

// Shared with the thread, which may outlive the object. Functions want the lock.
struct Health::State {
  // What a process says of itself.
  struct Beat {
    int64_t number = 0, calls = 0;
    HealthClock::time_point changed;  // when the number last was another one
  };
  struct Note {
    int rank = 0;
    std::string message;
    ErrorKind kind = ErrorKind::kFailed;
  };
  struct Call {
    int64_t number = 0;
    std::string what;
    HealthClock::time_point began;
  };
  using Lock = std::unique_lock<std::mutex>;
  using Ranks = std::vector<size_t>;

  std::unique_ptr<Store> store;
  int rank = 0;
  std::vector<std::string> who;
  GiveUp give_up;

  std::mutex mutex;
  std::condition_variable changed;
  bool stopping = false;
  bool doubting = false;                                  // beats of all are wanted
  bool lost = false;                                      // the store went away
  HealthClock::time_point answered = HealthClock::now();  // by the store
  std::optional<Note> note, to_leave;
  HealthClock::time_point noted;
  std::vector<Beat> beats;
  int64_t calls = 0, number = 0;
  std::vector<Call> open;  // the oldest first
  std::string at;
  bool warned = false, waited_for_others = false;

  std::string name(size_t of) const { return "rank " + std::to_string(of) + " (" + who[of] + ")"; }
  std::string names(const Ranks& ranks) const;
  Error error_of(const Note& told) const;
  Ranks silent(HealthClock::time_point since) const;
  Ranks behind() const;
  Call take(int64_t number);
  bool waits_longer_than(HealthClock::duration time) const;
  void end_hanging_call(Lock& lock);
  void ask_store(Lock& lock);
  void read_beat(const std::string& text, Beat& beat) const;
  void warn_of_waiting();
};

std::string Health::State::names(const Ranks& ranks) const {
  constexpr size_t kNamed = 4;
  std::string list;
  for (size_t i = 0; i < std::min(ranks.size(), kNamed); ++i)
    list += (i > 0 ? ", " : "") + name(ranks[i]);
  return ranks.size() > kNamed ? list + " and " + std::to_string(ranks.size() - kNamed) + " more"
                               : list;
}

// A failure that somebody else found out names its rank itself.
Error Health::State::error_of(const Note& told) const {
  const bool names_it = told.message.starts_with("rank ");
  return {told.kind, names_it ? told.message
                              : name(static_cast<size_t>(told.rank)) + " failed: " + told.message};
}

// The processes that gave no sign of life since `since` and for kGone.
Health::State::Ranks Health::State::silent(HealthClock::time_point since) const {
  Ranks ranks;
  for (size_t of = 0; of < beats.size(); ++of) {
    if (static_cast<int>(of) == rank) continue;
    if (HealthClock::now() - std::max(beats[of].changed, since) > kGone) ranks.push_back(of);
  }
  return ranks;
}

// Those that have begun fewer calls than this one.
Health::State::Ranks Health::State::behind() const {
  Ranks ranks;
  for (size_t of = 0; of < beats.size(); ++of)
    if (static_cast<int>(of) != rank && beats[of].calls < calls) ranks.push_back(of);
  return ranks;
}

// The call, which is no longer open.
Health::State::Call Health::State::take(int64_t of) {
  const auto it = std::find_if(open.begin(), open.end(), [&](auto& c) { return c.number == of; });
  Call call = std::move(*it);
  open.erase(it);
  return call;
}

bool Health::State::waits_longer_than(HealthClock::duration time) const {
  return !open.empty() && HealthClock::now() - open.front().began > time;
}

// Calls that wait for a process that is gone mostly end by themselves; connecting does not.
void Health::State::end_hanging_call(Lock& lock) {
  if (!note || HealthClock::now() - noted < kToEnd || !waits_longer_than(kToEnd)) return;
  const Error error = error_of(*note);
  lock.unlock();
  give_up(error);
  lock.lock();
}

// "2 1047": number, calls.
void Health::State::read_beat(const std::string& text, Beat& beat) const {
  Beat now;
  const char* end = text.data() + text.size();
  const auto* stop = std::from_chars(text.data(), end, now.number).ptr;
  if (stop < end) std::from_chars(stop + 1, end, now.calls);
  now.changed = now.number == beat.number ? beat.changed : HealthClock::now();
  beat = now;
}

// With the lock released while the store is waited for.
void Health::State::ask_store(Lock& lock) {
  const std::string beat = std::to_string(++number) + " " + std::to_string(calls);
  const bool all = doubting || waits_longer_than(kWarnAfter);
  std::string leaving;
  if (to_leave) leaving = failure_note(to_leave->rank, to_leave->message, to_leave->kind);
  lock.unlock();
  store->set("beat/" + std::to_string(rank), beat);
  const auto told = leaving.empty() ? store->get(kFailureKey)
                                    : std::optional(store->set_first(kFailureKey, leaving));
  std::vector<std::optional<std::string>> texts(all ? who.size() : 0);
  for (size_t of = 0; of < texts.size(); ++of) texts[of] = store->get("beat/" + std::to_string(of));
  lock.lock();
  answered = HealthClock::now();
  if (told && !note) {
    noted = answered;
    const Json json = parse_json(*told, "note of a failure");
    note = Note{json.at("rank"), json.at("message"),
                json.at("input") ? ErrorKind::kInput : ErrorKind::kFailed};
  }
  for (size_t of = 0; of < texts.size(); ++of)
    if (texts[of]) read_beat(*texts[of], beats[of]);
}

void Health::State::warn_of_waiting() {
  if (warned || !waits_longer_than(kWarnAfter + kGone + kBeat)) return;
  const Call& call = open.front();
  Ranks ranks = silent(call.began + kWarnAfter);
  const bool quiet = !ranks.empty();
  if (!quiet) ranks = behind();
  // One process is enough to say so.
  if (ranks.empty() || rank != (ranks.front() == 0 ? 1 : 0)) return;
  warned = true;
  log::warn("{} {}: waiting for {} s in {}", names(ranks),
            quiet ? "does not answer" : "has not come as far as the others",
            seconds_since(call.began), call.what);
}

Health::Health(std::unique_ptr<Store> store, int rank, std::vector<std::string> who, GiveUp give_up)
    : state_(std::make_shared<State>()) {
  state_->store = std::move(store);
  state_->rank = rank;
  state_->beats.resize(who.size());
  state_->who = std::move(who);
  state_->give_up = std::move(give_up);
  thread_ = std::thread([state = state_] { watch(state); });
}

Health::~Health() {
  stop();
  bool answers = false;
  {
    const std::lock_guard lock(state_->mutex);
    answers = state_->lost || HealthClock::now() - state_->answered < kGone;
  }
  if (answers) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

void Health::watch(const std::shared_ptr<State>& state) {
  State::Lock lock(state->mutex);
  while (!state->stopping) {
    try {
      state->ask_store(lock);
    } catch (const std::exception&) {
      if (!lock.owns_lock()) lock.lock();
      state->lost = true;
      state->changed.notify_all();
      return;
    }
    state->warn_of_waiting();
    state->end_hanging_call(lock);
    state->changed.notify_all();
    state->changed.wait_for(lock, state->doubting ? kBeatOfDoubt : kBeat,
                            [&] { return state->stopping || (state->to_leave && !state->note); });
  }
}

void Health::stop() {
  const std::lock_guard lock(state_->mutex);
  state_->stopping = true;
  state_->changed.notify_all();
}

void Health::at(const std::string& place) {
  const std::lock_guard lock(state_->mutex);
  state_->at = place;
}

int64_t Health::begin(const std::string& call) {
  const std::lock_guard lock(state_->mutex);
  if (state_->note) throw state_->error_of(*state_->note);
  state_->open.push_back({++state_->calls, call, HealthClock::now()});
  return state_->calls;
}

void Health::end(int64_t call) {
  const std::lock_guard lock(state_->mutex);
  state_->take(call);
  state_->warned = false;
}

Error Health::explain(int64_t of, const std::string& what_failed) {
  State::Lock lock(state_->mutex);
  State& state = *state_;
  const auto began = HealthClock::now();
  const auto call = state.take(of);
  const std::string where = call.what + (state.at.empty() ? "" : " at " + state.at);
  const bool timed_out = what_failed.find("imed out") != std::string::npos ||
                         what_failed.find("timeout") != std::string::npos;
  const std::string did = timed_out
                              ? " has not answered for " + seconds_since(call.began) + " s in "
                              : " went away in ";
  std::string who;
  state.doubting = true;
  while (who.empty() && HealthClock::now() - began < kLongestDoubt) {
    state.changed.wait_for(lock, kBeatOfDoubt);
    if (state.note) return state.error_of(*state.note);
    const auto ranks = state.silent(began);
    if (state.rank != 0 && (state.lost || HealthClock::now() - state.answered > kGone)) {
      who = state.name(0);  // and the store with it
    } else if (!ranks.empty()) {
      who = state.names(ranks);
    }
  }
  if (who.empty() && timed_out) who = state.names(state.behind());
  const std::string message =
      who.empty() ? "the processes lost each other (" + what_failed + ") in " + where
                  : who + did + where;
  const Error error = Error::failed(message, "", kRunAgain);
  lock.unlock();
  tell(error.what(), ErrorKind::kFailed);
  lock.lock();
  return state.note ? state.error_of(*state.note) : error;
}

void Health::tell(const std::string& message, ErrorKind kind) {
  State::Lock lock(state_->mutex);
  State& state = *state_;
  if (!state.note && !state.lost) {
    state.to_leave = State::Note{state.rank, message, kind};
    state.changed.notify_all();
    state.changed.wait_for(lock, kGone, [&] { return state.note || state.lost; });
  }
  // The store goes with rank 0: once, it waits until every process must have asked.
  if (state.rank == 0 && !state.lost && !state.waited_for_others)
    state.changed.wait_for(lock, kBeat + 2 * kBeatOfDoubt, [&] { return state.lost; });
  state.waited_for_others = true;
}

}  // namespace opencloc::dist

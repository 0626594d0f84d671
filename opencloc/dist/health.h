// Which process of a job is to blame when a call fails or does not end. A thread tells the store
// twice a second that this process lives, and how many calls it has begun; whoever finds out first
// what happened leaves a note there, and all others say the same.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "opencloc/base/error.h"
#include "opencloc/dist/store.h"

namespace opencloc::dist {

// What stands in the store under kFailureKey once a process has failed; the first note counts.
inline constexpr const char* kFailureKey = "failure";
// How to mend what is not the command's fault.
inline constexpr const char* kRunAgain = "run the same command again";
std::string failure_note(int rank, const std::string& message, ErrorKind kind);
std::string message_of_note(const std::string& note);

class Health {
 public:
  // Ends the process where a call waits for a process that failed and does not end by itself.
  using GiveUp = std::function<void(const Error& error)>;
  // `store` is a connection of its own. `who`: "n02, pid 812" of every rank.
  Health(std::unique_ptr<Store> store, int rank, std::vector<std::string> who, GiveUp give_up);
  // The thread may hang in a store that does not answer: it is then left behind.
  ~Health();
  Health(const Health&) = delete;
  Health& operator=(const Health&) = delete;

  // Around every call of a group; calls of several lines may run at the same time. begin() throws
  // the Error of a process that failed, and gives the call's number.
  int64_t begin(const std::string& call);
  void end(int64_t call);
  // Where the processes stand ("step 120").
  void at(const std::string& place);

  // Ends a call that failed. Its Error: who went away, does not answer, or failed before. It takes
  // up to some seconds, and leaves the note.
  Error explain(int64_t call, const std::string& what_failed);
  // This process fails; where it was the first to, the others learn the cause. Rank 0, with which
  // the store goes, gives them time to.
  void tell(const std::string& message, ErrorKind kind);
  // Nothing that happens to the other processes matters any more.
  void stop();

 private:
  struct State;
  static void watch(const std::shared_ptr<State>& state);
  std::shared_ptr<State> state_;
  std::thread thread_;
};

}  // namespace opencloc::dist

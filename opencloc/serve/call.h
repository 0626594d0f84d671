// A request on its way through the server's threads.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "opencloc/serve/http.h"
#include "opencloc/serve/http_server.h"

namespace opencloc::serve {

// Thrown within Call::guard(): ends the call with this answer.
struct Refused {
  HttpError error;
};

// What the server adds to a call.
struct CallNotes {
  Headers headers = {};                                       // of its answer
  bool plain_errors = false;                                  // {"error": "text"}
  std::function<void(int status, double seconds)> done = {};  // hears of the answer, once
};

class Call : public std::enable_shared_from_this<Call> {
 public:
  using Clock = std::chrono::steady_clock;
  Call(HttpRequest request_, std::map<std::string, std::string> params_,
       std::shared_ptr<Answer> answer, Clock::time_point deadline, CallNotes notes)
      : request(std::move(request_)),
        params(std::move(params_)),
        arrived(Clock::now()),
        answer_(std::move(answer)),
        deadline_(deadline),
        notes_(std::move(notes)) {}
  ~Call();

  HttpRequest request;
  const std::map<std::string, std::string> params;  // of the route: {"id": "7"}
  const Clock::time_point arrived;

  // Thread-safe. The first answer counts.
  void respond(HttpResponse response);
  void fail(const HttpError& error);
  // Work for it would be in vain: it is answered, its client has left, or its time is over.
  bool over() const;

  // Does a part of the work. What it throws becomes the answer: Refused as it says, anything else
  // as 500, with the reason in the log alone.
  template <typename Work>
  void guard(const Work& work) {
    try {
      work();
    } catch (const Refused& refused) {
      fail(refused.error);
    } catch (const std::exception& error) {
      fail_inside(error);
    }
  }
  void fail_inside(const std::exception& error);
  double seconds() const { return std::chrono::duration<double>(Clock::now() - arrived).count(); }

 private:
  const std::shared_ptr<Answer> answer_;
  const Clock::time_point deadline_;
  const CallNotes notes_;
  std::atomic<bool> answered_ = false;
};
using CallPtr = std::shared_ptr<Call>;

}  // namespace opencloc::serve

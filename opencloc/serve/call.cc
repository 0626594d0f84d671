#include "opencloc/serve/call.h"

#include "opencloc/base/log.h"

namespace opencloc::serve {

Call::~Call() {
  if (!answered_ && notes_.done) notes_.done(answer_->abandoned() ? 499 : 500, seconds());
}

void Call::respond(HttpResponse response) {
  if (answered_.exchange(true)) return;
  if (notes_.done) notes_.done(response.status, seconds());
  response.headers.insert(response.headers.end(), notes_.headers.begin(), notes_.headers.end());
  answer_->send(std::move(response));
}

void Call::fail(const HttpError& error) {
  respond(notes_.plain_errors ? plain_error_response(error) : error_response(error));
}

bool Call::over() const { return answered_ || answer_->abandoned() || Clock::now() > deadline_; }

void Call::fail_inside(const std::exception& error) {
  log::error("{} {}: {}", request.method, request.path, error.what());
  fail({.status = 500,
        .message = "internal error; the server's log has the reason",
        .type = "server_error"});
}

}  // namespace opencloc::serve

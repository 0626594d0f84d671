#include "opencloc/label/http_client.h"

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <utility>

#include <httplib.h>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

using Clock = std::chrono::steady_clock;

std::chrono::microseconds micros(double seconds) {
  return std::chrono::microseconds(static_cast<int64_t>(seconds * 1e6));
}

// Cuts the connection at the deadline: time-outs of reads alone let an answer trickle for ever.
class Watchdog {
 public:
  Watchdog(httplib::Client& client, double seconds)
      : thread_([this, &client, seconds] {
          std::unique_lock lock(mutex_);
          if (done_.wait_for(lock, micros(seconds), [this] { return finished_; })) return;
          expired_ = true;
          client.stop();
        }) {}
  ~Watchdog() { finish(); }
  // True when the deadline passed before.
  bool finish() {
    {
      const std::lock_guard lock(mutex_);
      finished_ = true;
    }
    done_.notify_all();
    if (thread_.joinable()) thread_.join();
    return expired_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  bool finished_ = false;
  bool expired_ = false;
  std::thread thread_;
};

}  // namespace

HttpClient::HttpClient(std::string_view url, HttpOptions options) : options_(std::move(options)) {
  const size_t scheme = url.find("://");
  const bool known = url.starts_with("http://") || url.starts_with("https://");
  if (!known || url.size() <= scheme + 3) {
    throw Error::input("'" + std::string(url) + "' is not the address of a server",
                       "setting 'captioner'",
                       "write http://HOST:PORT/v1, or name a model directory that is there");
  }
  const size_t slash = url.find('/', scheme + 3);
  host_ = std::string(url.substr(0, slash));
  base_ = slash == std::string_view::npos ? "" : std::string(url.substr(slash));
  while (base_.ends_with('/')) base_.pop_back();
}

HttpAnswer HttpClient::post_json(const std::string& path, const std::string& body) const {
  httplib::Client client(host_);
  client.set_connection_timeout(micros(options_.connect_seconds));
  // The watchdog comes first, so that a time-out has one name.
  client.set_read_timeout(micros(options_.seconds + 5));
  client.set_write_timeout(micros(options_.seconds + 5));

  HttpAnswer answer;
  bool too_long = false;
  httplib::Request request;
  request.method = "POST";
  request.path = base_ + path;
  request.headers = {{"Content-Type", "application/json"}, {"Accept", "application/json"}};
  if (!options_.bearer_token.empty())
    request.headers.emplace("Authorization", "Bearer " + options_.bearer_token);
  request.body = body;
  request.content_receiver = [&](const char* data, size_t size, uint64_t, uint64_t) {
    too_long = answer.body.size() + size > options_.max_bytes;
    if (!too_long) answer.body.append(data, size);
    return !too_long;
  };
  Watchdog watchdog(client, options_.seconds);
  const httplib::Result result = client.send(request);
  const bool expired = watchdog.finish();
  if (too_long) {
    answer.error = "answer too long";
  } else if (expired) {
    answer.error = "timed out";
  } else if (!result) {
    switch (result.error()) {
      case httplib::Error::Connection:
      case httplib::Error::ConnectionTimeout:
        answer.error = "cannot connect";
        break;
      case httplib::Error::Read:
        answer.error = "no answer";
        break;
      default:
        answer.error = "broken connection";
    }
  } else {
    answer.status = result->status;
    answer.retry_after = std::strtod(result->get_header_value("Retry-After").c_str(), nullptr);
    return answer;
  }
  answer.body.clear();
  return answer;
}

}  // namespace opencloc

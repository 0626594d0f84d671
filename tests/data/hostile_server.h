// A server of shards on this machine that can be told to misbehave.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <httplib.h>

namespace opencloc::fixtures {

class HostileServer {
 public:
  using Answer = std::function<void(const httplib::Request&, httplib::Response&)>;

  HostileServer() {
    server_.Get(".*", [this](const httplib::Request& request, httplib::Response& response) {
      Answer answer;
      {
        const std::lock_guard lock(mutex_);
        (request.method == "HEAD" ? heads : gets) += 1;
        seen_.push_back(request);
        answer = answer_;
      }
      if (answer) {
        answer(request, response);
      } else {
        serve(request, response);
      }
    });
    server_.set_keep_alive_max_count(1);  // stop() waits for connections that are kept
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::yield();
  }
  ~HostileServer() {
    server_.stop();
    thread_.join();
  }
  HostileServer(const HostileServer&) = delete;
  HostileServer& operator=(const HostileServer&) = delete;

  std::string url(const std::string& path = "") const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  void put(const std::string& path, std::string bytes) {
    const std::lock_guard lock(mutex_);
    files_[path] = std::move(bytes);
  }
  // In place of serving; null serves.
  void answer_with(Answer answer) {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
  }
  std::string file(const std::string& path) {
    const std::lock_guard lock(mutex_);
    const auto found = files_.find(path);
    return found == files_.end() ? "" : found->second;
  }
  std::vector<httplib::Request> seen() {
    const std::lock_guard lock(mutex_);
    return seen_;
  }

  // What an honest server does.
  void serve(const httplib::Request& request, httplib::Response& response) {
    const std::string bytes = file(request.path);
    if (bytes.empty()) {
      response.status = 404;
      return;
    }
    response.set_header("ETag", "\"" + std::to_string(std::hash<std::string>()(bytes)) + "\"");
    response.set_content(bytes, "application/x-tar");
  }
  // Gives at most `most` bytes of a file that it says has `announced`, then cuts the connection.
  static void cut(httplib::Response& response, const std::string& bytes, size_t announced,
                  size_t most, const std::string& etag) {
    response.set_header("ETag", etag);
    response.set_content_provider(
        announced, "application/x-tar",
        [bytes, left = most](size_t offset, size_t length, httplib::DataSink& sink) mutable {
          const size_t there = offset < bytes.size() ? bytes.size() - offset : 0;
          const size_t given = std::min({left, length, there});
          if (given > 0) sink.write(bytes.data() + offset, given);
          left -= given;
          return given == length;
        });
  }

  std::atomic<int> gets{0}, heads{0};

 private:
  httplib::Server server_;
  std::thread thread_;
  int port_ = 0;
  std::mutex mutex_;
  std::map<std::string, std::string> files_;
  std::vector<httplib::Request> seen_;
  Answer answer_;
};

}  // namespace opencloc::fixtures

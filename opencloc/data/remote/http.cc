#include "opencloc/data/remote/http.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <thread>
#include <utility>

#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"
#include "opencloc/data/remote/http_request.h"

namespace opencloc {
namespace {

constexpr uint64_t kMostText = uint64_t{64} << 20;  // of a small answer
constexpr uint64_t kProgress = uint64_t{1} << 20;   // bytes after which the attempts count anew
constexpr double kLongestWait = 30;                 // seconds
constexpr const char* kMendServer = "check the network and the server, then run it again";

// "AccessDenied" of S3's XML; empty for other bodies.
std::string s3_code(const std::string& body) {
  const size_t begin = body.find("<Code>"), end = body.find("</Code>");
  if (begin == std::string::npos || end == std::string::npos || end < begin + 6) return {};
  return body.substr(begin + 6, std::min<size_t>(end - begin - 6, 60));
}

bool may_pass(const HttpReply& reply) {
  if (reply.hopeless) return false;
  const long status = reply.status;
  if (!reply.trouble.empty() && status < 400) return true;
  return status == 408 || status == 429 || status >= 500 || reply.gives_file() || status == 416;
}

[[noreturn]] void refuse(const HttpReply& reply, const HttpPlace& place) {
  if (!reply.trouble.empty() && reply.status < 400) {
    throw Error::input("cannot be fetched (" + reply.trouble + ")", place.shown, "check the name");
  }
  const std::string code = s3_code(reply.complaint);
  const std::string status =
      "status " + std::to_string(reply.status) + (code.empty() ? "" : ", " + code);
  if (reply.status == 404 || reply.status == 410)
    throw Error::input("the server has no such shard (" + status + ")", place.shown,
                       "correct the name, or pass the setting 'skip_bad_shards'");
  if (!reply.bucket_region.empty() && reply.status < 400)
    throw Error::input("the bucket lies in the region " + reply.bucket_region, place.shown,
                       "set AWS_REGION=" + reply.bucket_region);
  if (reply.status == 401 || reply.status == 403)
    throw Error::input("the server refuses access (" + status + ")", place.shown,
                       place.s3 ? "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, with temporary "
                                  "keys also AWS_SESSION_TOKEN, and check their rights"
                                : "name a URL that needs no login, or use 'pipe:curl ...'");
  throw Error::input("the server does not give the shard (" + status + ")", place.shown,
                     "check the name");
}

// Counts attempts and waits between them.
class Attempts {
 public:
  Attempts(const HttpPlace& place, const RetryOptions& retry) : place_(place), retry_(retry) {}

  void progressed() { failures_ = 0; }
  // Waits, or throws the last word.
  void failed(const std::string& reason) {
    ++failures_;
    if (failures_ >= retry_.attempts) {
      throw Error::failed(
          "cannot be fetched (" + reason + "; " + std::to_string(failures_) + " attempts)",
          place_.shown, kMendServer);
    }
    if (failures_ == 1) log::warn("{}: {}; trying again", place_.shown, reason);
    const double wait =
        std::min(kLongestWait, retry_.first_wait * static_cast<double>(1 << (failures_ - 1)));
    std::this_thread::sleep_for(std::chrono::duration<double>(wait));
  }

 private:
  const HttpPlace& place_;
  const RetryOptions& retry_;
  int failures_ = 0;
};

std::string reason_of(const HttpReply& reply) {
  if (reply.status >= 400) return "status " + std::to_string(reply.status);
  return reply.trouble.empty() ? "status " + std::to_string(reply.status) : reply.trouble;
}

// One file on its way to the disk.
class Download {
 public:
  Download(const HttpPlace& place, int fd, const RetryOptions& retry,
           const std::function<void(uint64_t)>& reserve)
      : place_(place), fd_(fd), retry_(retry), reserve_(reserve), attempts_(place, retry) {}

  RemoteVersion run() {
    while (true) {
      begun_ = false;
      const uint64_t before = have_;
      const HttpReply reply =
          perform(place_, {.from = have_, .stall_seconds = retry_.stall_seconds},
                  [this](const HttpReply& r, std::string_view bytes) { return take(r, bytes); });
      if (error_) std::rethrow_exception(error_);
      if (!may_pass(reply)) refuse(reply, place_);
      // A file without bytes, or one whose last byte had come before.
      if (reply.trouble.empty() && reply.gives_file() && !begun_) take(reply, {});
      if (error_) std::rethrow_exception(error_);
      if (reply.trouble.empty() && reply.gives_file() && is_whole()) return finish();
      if (have_ >= before + kProgress) attempts_.progressed();
      attempts_.failed(wrong_.empty() ? unless_short(reply) : std::exchange(wrong_, {}));
      if (!sized_ || reply.status == 416) have_ = 0;
    }
  }

 private:
  bool is_whole() const { return wrong_.empty() && (!sized_ || have_ == version_.bytes); }

  RemoteVersion finish() {
    version_.bytes = have_;
    return version_;
  }

  std::string unless_short(const HttpReply& reply) const {
    const bool too_short = reply.status == 416 || reply.cut || reply.trouble.empty();
    if (reply.status < 500 && sized_ && too_short && have_ != version_.bytes)
      return std::to_string(have_) + " of " + std::to_string(version_.bytes) + " bytes came";
    return reason_of(reply);
  }

  // Must not throw: libcurl calls it.
  bool take(const HttpReply& reply, std::string_view bytes) {
    try {
      if (!begun_ && !begin(reply)) return false;
      begun_ = true;
      write(bytes);
      return true;
    } catch (...) {
      error_ = std::current_exception();
      return false;
    }
  }

  // Whether the answer continues what is there.
  bool begin(const HttpReply& reply) {
    if (reply.status == 206) {
      const bool same = reply.etag == version_.etag && reply.modified == version_.modified &&
                        reply.total == version_.bytes && reply.range_first == have_;
      if (same) return true;
      start_anew();
      return false;
    }
    const RemoteVersion now{reply.length.value_or(0), reply.etag, reply.modified};
    if (sized_ && now != version_) ++changes_;
    have_ = 0;
    if (changes_ >= kMostChanges) refuse_change();
    if (reply.length && (!sized_ || now.bytes != version_.bytes)) reserve_(now.bytes);
    version_ = now;
    sized_ = reply.length.has_value();
    return true;
  }

  void start_anew() {
    if (++changes_ >= kMostChanges) refuse_change();
    wrong_ = "the file changed on the server";
    have_ = 0;
  }

  [[noreturn]] void refuse_change() const {
    throw Error::failed("the shard changes on the server while it is fetched", place_.shown,
                        "wait until it is written, then run it again");
  }

  void write(std::string_view bytes) {
    if (sized_ && bytes.size() > version_.bytes - std::min(have_, version_.bytes))
      throw Error::failed("the server gives more bytes than it announced", place_.shown,
                          kMendServer);
    while (!bytes.empty()) {
      const ssize_t wrote = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(have_));
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) {
        throw Error::failed("cannot write the fetched shard (" + errno_text() + ")", place_.shown,
                            "free space there, or name another folder for the setting 'cache_dir'");
      }
      have_ += static_cast<uint64_t>(wrote);
      bytes.remove_prefix(static_cast<size_t>(wrote));
    }
  }

  static constexpr int kMostChanges = 3;
  const HttpPlace& place_;
  const int fd_;
  const RetryOptions& retry_;
  const std::function<void(uint64_t)>& reserve_;
  Attempts attempts_;
  RemoteVersion version_;
  bool sized_ = false;  // the server has announced the length
  bool begun_ = false;  // bytes of this answer have come
  uint64_t have_ = 0;
  int changes_ = 0;
  std::string wrong_;
  std::exception_ptr error_;
};

}  // namespace

Known still_there(const HttpPlace& place, const RemoteVersion& version, const RetryOptions& retry) {
  const HttpReply reply =
      perform(place, {.method = HttpMethod::kHeaders, .stall_seconds = retry.stall_seconds},
              [](const HttpReply&, std::string_view) { return true; });
  if (reply.trouble.empty() && (reply.status == 404 || reply.status == 410)) return Known::kNo;
  if (!reply.trouble.empty() || reply.status != 200) return Known::kUnknown;
  const bool same = reply.etag == version.etag && reply.modified == version.modified &&
                    (!reply.length || *reply.length == version.bytes);
  return same ? Known::kYes : Known::kNo;
}

RemoteVersion download(const HttpPlace& place, int fd, const RetryOptions& retry,
                       const std::function<void(uint64_t bytes)>& reserve) {
  return Download(place, fd, retry, reserve).run();
}

std::string download_text(const HttpPlace& place, const RetryOptions& retry) {
  Attempts attempts(place, retry);
  while (true) {
    std::string text;
    const HttpReply reply = perform(place, {.stall_seconds = retry.stall_seconds},
                                    [&](const HttpReply&, std::string_view bytes) {
                                      if (text.size() + bytes.size() > kMostText) return false;
                                      text.append(bytes);
                                      return true;
                                    });
    if (reply.trouble.empty() && reply.status == 200) return text;
    if (!may_pass(reply)) refuse(reply, place);
    attempts.failed(reason_of(reply));
  }
}

}  // namespace opencloc

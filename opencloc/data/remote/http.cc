#include "opencloc/data/remote/http.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <ctime>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include <curl/curl.h>
#include <strings.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"

namespace opencloc {
namespace {

constexpr uint64_t kMostText = uint64_t{64} << 20;  // of a small answer
constexpr size_t kMostComplaint = 4096;             // of an error's body
constexpr uint64_t kProgress = uint64_t{1} << 20;   // bytes after which the attempts count anew
constexpr double kLongestWait = 30;                 // seconds
constexpr const char* kMendServer = "check the network and the server, then run it again";

// TLS writes may raise SIGPIPE on connections that were cut; libcurl leaves that to its callers.
class NoSigpipe {
 public:
  NoSigpipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoSigpipe() {
    const timespec now{};
    if (!was_pending_) {
      while (sigtimedwait(&pipe_, nullptr, &now) == -1 && errno == EINTR) {
      }
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;

 private:
  sigset_t pipe_{}, before_{};
  bool was_pending_ = false;
};

struct FreeEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, FreeList>;

// One per thread, so that connections are kept.
CURL* thread_handle() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  thread_local const std::unique_ptr<CURL, FreeEasy> easy(curl_easy_init());
  if (!easy) throw Error::failed("no memory for a download", "libcurl");
  curl_easy_reset(easy.get());
  return easy.get();
}

struct Reply {
  long status = 0;
  std::optional<uint64_t> length;              // of the body
  std::optional<uint64_t> range_first, total;  // of Content-Range
  std::string etag, modified, bucket_region;
  std::string complaint;  // the start of an error's body
  CURLcode result = CURLE_OK;
  std::string trouble;  // of `result`

  bool gives_file() const { return status == 200 || status == 206; }
};

std::optional<uint64_t> number_in(std::string_view text) {
  uint64_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stop == text.data()) return std::nullopt;
  return value;
}

struct Transfer {
  Reply reply;
  std::function<bool(const Reply&, std::string_view)> take;  // false ends it
};

size_t on_header(char* data, size_t size, size_t count, void* user) {
  Reply& reply = static_cast<Transfer*>(user)->reply;
  std::string_view line(data, size * count);
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  if (line.starts_with("HTTP/")) {  // also of an answer that leads elsewhere
    reply = Reply{};
    const size_t blank = line.find(' ');
    if (blank != std::string_view::npos)
      reply.status = static_cast<long>(number_in(line.substr(blank + 1)).value_or(0));
    return size * count;
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return size * count;
  std::string_view value = line.substr(colon + 1);
  while (value.starts_with(' ') || value.starts_with('\t')) value.remove_prefix(1);
  const auto is = [name = line.substr(0, colon)](std::string_view wanted) {
    return name.size() == wanted.size() &&
           ::strncasecmp(name.data(), wanted.data(), wanted.size()) == 0;
  };
  if (is("content-length")) {
    reply.length = number_in(value);
  } else if (is("etag")) {
    reply.etag = value;
  } else if (is("last-modified")) {
    reply.modified = value;
  } else if (is("x-amz-bucket-region")) {
    reply.bucket_region = value;
  } else if (is("content-range") && value.starts_with("bytes ")) {
    value.remove_prefix(6);
    reply.range_first = number_in(value);
    if (const size_t slash = value.find('/'); slash != std::string_view::npos)
      reply.total = number_in(value.substr(slash + 1));
  }
  return size * count;
}

size_t on_body(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::string_view bytes(data, size * count);
  if (transfer.reply.gives_file()) return transfer.take(transfer.reply, bytes) ? bytes.size() : 0;
  std::string& complaint = transfer.reply.complaint;
  complaint.append(bytes.substr(0, kMostComplaint - std::min(kMostComplaint, complaint.size())));
  return bytes.size();
}

enum class Method { kGet, kHeaders };

void sign(CURL* easy, const HttpPlace& place, HeaderList& headers) {
  const auto add = [&](const std::string& line) {
    curl_slist* longer = curl_slist_append(headers.get(), line.c_str());
    if (longer == nullptr) throw Error::failed("no memory for a download", place.shown);
    static_cast<void>(headers.release());
    headers.reset(longer);
  };
  // SHA-256 of an empty body.
  add("x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  if (!place.signing.token.empty()) add("x-amz-security-token: " + place.signing.token);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(easy, CURLOPT_AWS_SIGV4, ("aws:amz:" + place.signing.region + ":s3").c_str());
  curl_easy_setopt(easy, CURLOPT_USERNAME, place.signing.id.c_str());
  curl_easy_setopt(easy, CURLOPT_PASSWORD, place.signing.secret.c_str());
}

Reply perform(const HttpPlace& place, Method method, uint64_t from, const RetryOptions& retry,
              std::function<bool(const Reply&, std::string_view)> take) {
  CURL* easy = thread_handle();
  Transfer transfer{{}, std::move(take)};
  HeaderList headers;
  curl_easy_setopt(easy, CURLOPT_URL, place.url.c_str());
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, place.s3 ? 0L : 1L);
  curl_easy_setopt(easy, CURLOPT_MAXREDIRS, 10L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, 30L);
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1000L);
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(retry.stall_seconds));
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "opencloc");
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
  if (method == Method::kHeaders) curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  const std::string range = std::to_string(from) + "-";
  if (from > 0) curl_easy_setopt(easy, CURLOPT_RANGE, range.c_str());
  if (place.s3 && !place.signing.id.empty()) sign(easy, place, headers);
  {
    const NoSigpipe guard;
    transfer.reply.result = CURLE_OK;
    const CURLcode result = curl_easy_perform(easy);
    transfer.reply.result = result;
  }
  if (transfer.reply.result != CURLE_OK)
    transfer.reply.trouble = curl_easy_strerror(transfer.reply.result);
  return std::move(transfer.reply);
}

// "AccessDenied" of S3's XML; empty for other bodies.
std::string s3_code(const std::string& body) {
  const size_t begin = body.find("<Code>"), end = body.find("</Code>");
  if (begin == std::string::npos || end == std::string::npos || end < begin + 6) return {};
  return body.substr(begin + 6, std::min<size_t>(end - begin - 6, 60));
}

bool may_pass(const Reply& reply) {
  switch (reply.result) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_TOO_MANY_REDIRECTS:
      return false;
    default:
      break;
  }
  if (reply.result != CURLE_OK && !reply.gives_file() && reply.status < 400) return true;
  const long status = reply.status;
  return status == 408 || status == 429 || status >= 500 || reply.gives_file() || status == 416;
}

[[noreturn]] void refuse(const Reply& reply, const HttpPlace& place) {
  if (reply.result != CURLE_OK && reply.status < 400) {
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

std::string reason_of(const Reply& reply) {
  if (reply.status >= 400) return "status " + std::to_string(reply.status);
  return reply.result == CURLE_OK ? "status " + std::to_string(reply.status) : reply.trouble;
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
      const Reply reply =
          perform(place_, Method::kGet, have_, retry_,
                  [this](const Reply& r, std::string_view bytes) { return take(r, bytes); });
      if (error_) std::rethrow_exception(error_);
      if (!may_pass(reply)) refuse(reply, place_);
      // A file without bytes, or one whose last byte had come before.
      if (reply.result == CURLE_OK && reply.gives_file() && !begun_) take(reply, {});
      if (error_) std::rethrow_exception(error_);
      if (reply.result == CURLE_OK && reply.gives_file() && is_whole()) return finish();
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

  std::string unless_short(const Reply& reply) const {
    const bool too_short =
        reply.status == 416 || reply.result == CURLE_PARTIAL_FILE || reply.result == CURLE_OK;
    if (reply.status < 500 && sized_ && too_short && have_ != version_.bytes)
      return std::to_string(have_) + " of " + std::to_string(version_.bytes) + " bytes came";
    return reason_of(reply);
  }

  // Called from libcurl, which knows no exceptions.
  bool take(const Reply& reply, std::string_view bytes) {
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
  bool begin(const Reply& reply) {
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
  const Reply reply = perform(place, Method::kHeaders, 0, retry,
                              [](const Reply&, std::string_view) { return true; });
  if (reply.result == CURLE_OK && (reply.status == 404 || reply.status == 410)) return Known::kNo;
  if (reply.result != CURLE_OK || reply.status != 200) return Known::kUnknown;
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
    const Reply reply =
        perform(place, Method::kGet, 0, retry, [&](const Reply&, std::string_view bytes) {
          if (text.size() + bytes.size() > kMostText) return false;
          text.append(bytes);
          return true;
        });
    if (reply.result == CURLE_OK && reply.status == 200) return text;
    if (!may_pass(reply)) refuse(reply, place);
    attempts.failed(reason_of(reply));
  }
}

}  // namespace opencloc

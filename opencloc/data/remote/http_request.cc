#include "opencloc/data/remote/http_request.h"

#include <algorithm>
#include <charconv>
#include <csignal>
#include <ctime>
#include <memory>
#include <mutex>
#include <utility>

#include <curl/curl.h>
#include <strings.h>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

constexpr size_t kMostComplaint = 4096;  // of an error's body

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

std::optional<uint64_t> number_in(std::string_view text) {
  uint64_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stop == text.data()) return std::nullopt;
  return value;
}

struct Transfer {
  HttpReply reply;
  std::function<bool(const HttpReply&, std::string_view)> take;  // false ends it
};

size_t on_header(char* data, size_t size, size_t count, void* user) {
  HttpReply& reply = static_cast<Transfer*>(user)->reply;
  std::string_view line(data, size * count);
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  if (line.starts_with("HTTP/")) {  // also of an answer that leads elsewhere
    reply = HttpReply{};
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

}  // namespace

HttpReply perform(const HttpPlace& place, const HttpRequest& request,
                  std::function<bool(const HttpReply&, std::string_view)> take) {
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
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(request.stall_seconds));
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "opencloc");
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
  if (request.method == HttpMethod::kHeaders) curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  const std::string range = std::to_string(request.from) + "-";
  if (request.from > 0) curl_easy_setopt(easy, CURLOPT_RANGE, range.c_str());
  if (place.s3 && !place.signing.id.empty()) sign(easy, place, headers);
  CURLcode result = CURLE_OK;
  {
    const NoSigpipe guard;
    result = curl_easy_perform(easy);
  }
  HttpReply& reply = transfer.reply;
  if (result != CURLE_OK) reply.trouble = curl_easy_strerror(result);
  reply.cut = result == CURLE_PARTIAL_FILE;
  reply.hopeless = result == CURLE_URL_MALFORMAT || result == CURLE_UNSUPPORTED_PROTOCOL ||
                   result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE ||
                   result == CURLE_TOO_MANY_REDIRECTS;
  return std::move(reply);
}

}  // namespace opencloc

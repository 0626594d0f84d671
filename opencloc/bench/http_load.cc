#include "opencloc/bench/http_load.h"

#include <algorithm>
#include <atomic>
#include <cctype>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <thread>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/base/text_file.h"

namespace opencloc::bench {
namespace {

using LoadClock = std::chrono::steady_clock;
constexpr timeval kLongestWait{60, 0};

double seconds_from(LoadClock::time_point began) {
  return std::chrono::duration<double>(LoadClock::now() - began).count();
}

// The number in a head's Content-Length; 0 without one.
size_t length_in(std::string head) {
  for (char& c : head) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const size_t at = head.find("\r\ncontent-length:");
  return at == head.npos ? 0 : std::strtoull(head.c_str() + head.find(':', at) + 1, nullptr, 10);
}

}  // namespace

HttpPlace parse_http_place(const std::string& address) {
  constexpr std::string_view kScheme = "http://";
  const auto wrong = [&] {
    return Error::input("not the address of a server", address,
                        "write it as http://127.0.0.1:1234, with an address, no name");
  };
  if (!address.starts_with(kScheme)) throw wrong();
  const std::string rest = address.substr(kScheme.size());
  const size_t slash = std::min(rest.size(), rest.find('/')), colon = rest.find(':');
  if (colon == rest.npos || colon > slash) throw wrong();
  const auto port = parse_number(rest.substr(colon + 1, slash - colon - 1));
  HttpPlace place;
  place.host = rest.substr(0, colon);
  place.prefix = rest.substr(slash);
  while (place.prefix.ends_with('/')) place.prefix.pop_back();
  in_addr checked{};
  if (!port || *port < 1 || *port > 65535 ||
      ::inet_pton(AF_INET, place.host.c_str(), &checked) != 1)
    throw wrong();
  place.port = static_cast<int>(*port);
  return place;
}

HttpClient::HttpClient(const HttpPlace& place)
    : place_(place), socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(place.port));
  ::inet_pton(AF_INET, place.host.c_str(), &address.sin_addr);
  const int at_once = 1;
  ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
  ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &kLongestWait, sizeof kLongestWait);
  ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &kLongestWait, sizeof kLongestWait);
  if (socket_ < 0 ||
      ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const std::string reason = errno_text();
    if (socket_ >= 0) ::close(socket_);
    throw Error::failed("the server cannot be reached (" + reason + ")",
                        place.host + ":" + std::to_string(place.port),
                        "start it, or check the address and the port");
  }
}

HttpClient::~HttpClient() { ::close(socket_); }

void HttpClient::read_more() {
  char bytes[16384];
  const ssize_t count = ::recv(socket_, bytes, sizeof bytes, 0);
  if (count <= 0) throw Error::failed("the server ended the connection, or took over a minute");
  got_.append(bytes, static_cast<size_t>(count));
}

HttpReply HttpClient::ask(const HttpQuestion& question) {
  std::string text = question.method + " " + place_.prefix + question.path +
                     " HTTP/1.1\r\nHost: " + place_.host + ":" + std::to_string(place_.port) +
                     "\r\n";
  if (!place_.key.empty()) text += "Authorization: Bearer " + place_.key + "\r\n";
  if (question.method != "GET") {
    text += "Content-Type: " + question.type +
            "\r\nContent-Length: " + std::to_string(question.body.size()) + "\r\n";
  }
  text += "\r\n" + question.body;
  for (std::string_view left = text; !left.empty();) {
    const ssize_t sent = ::send(socket_, left.data(), left.size(), MSG_NOSIGNAL);
    if (sent <= 0) throw Error::failed("the server ended the connection");
    left.remove_prefix(static_cast<size_t>(sent));
  }
  size_t end = 0;
  while ((end = got_.find("\r\n\r\n")) == got_.npos) read_more();
  const std::string head = got_.substr(0, end + 2);
  const size_t whole = end + 4 + length_in(head);
  while (got_.size() < whole) read_more();
  HttpReply reply;
  reply.status = std::atoi(head.c_str() + std::min<size_t>(head.size(), sizeof "HTTP/1.1"));
  reply.body = got_.substr(end + 4, whole - end - 4);
  got_.erase(0, whole);
  return reply;
}

double HttpLoad::percentile(double share) const {
  if (milliseconds.empty()) return 0;
  const auto at = static_cast<size_t>(share * static_cast<double>(milliseconds.size()));
  return milliseconds[std::min(milliseconds.size() - 1, at)];
}

HttpLoad load_http(const HttpPlace& place, int clients, double seconds,
                   const std::function<HttpQuestion(int64_t number)>& question) {
  HttpLoad all;
  std::mutex mutex;
  std::atomic<int64_t> next = 0;
  const auto began = LoadClock::now();
  const auto work = [&] {
    HttpLoad own;
    do {
      try {
        HttpClient client(place);
        do {
          const HttpQuestion asked = question(next++);
          const auto at = LoadClock::now();
          const int status = client.ask(asked).status;
          if (status / 100 == 2) {
            ++own.answered;
            own.milliseconds.push_back(1000 * seconds_from(at));
          } else {
            ++own.refused;
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
          }
        } while (seconds_from(began) < seconds);
      } catch (const Error&) {  // counted; a new connection follows
        ++own.refused;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
      }
    } while (seconds_from(began) < seconds);
    const std::lock_guard lock(mutex);
    all.answered += own.answered;
    all.refused += own.refused;
    all.milliseconds.insert(all.milliseconds.end(), own.milliseconds.begin(),
                            own.milliseconds.end());
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < clients; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  all.seconds = seconds_from(began);
  std::sort(all.milliseconds.begin(), all.milliseconds.end());
  return all;
}

}  // namespace opencloc::bench

#include "opencloc/dist/address.h"

#include <cerrno>
#include <memory>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "opencloc/base/error.h"

namespace opencloc::dist {
namespace {

std::string numeric_address(const sockaddr* address, socklen_t length) {
  char host[NI_MAXHOST] = {};
  if (getnameinfo(address, length, host, sizeof(host), nullptr, 0, NI_NUMERICHOST) != 0) return {};
  return host;
}

bool is_loopback(const std::string& address) {
  return address.starts_with("127.") || address == "::1" || address.empty();
}

// "" where no packet would go there.
std::string source_towards(const addrinfo& target) {
  const int fd = socket(target.ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return {};
  sockaddr_storage own{};
  socklen_t length = sizeof(own);
  std::string address;
  // A datagram socket sends nothing when it connects; the system only chooses its way.
  if (connect(fd, target.ai_addr, target.ai_addrlen) == 0 &&
      getsockname(fd, reinterpret_cast<sockaddr*>(&own), &length) == 0)
    address = numeric_address(reinterpret_cast<const sockaddr*>(&own), length);
  close(fd);
  return address;
}

std::string first_outside_address() {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return {};
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(all, freeifaddrs);
  for (const ifaddrs* at = all; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != AF_INET) continue;
    if ((at->ifa_flags & IFF_UP) == 0 || (at->ifa_flags & IFF_LOOPBACK) != 0) continue;
    return numeric_address(at->ifa_addr, sizeof(sockaddr_in));
  }
  return {};
}

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

// `status`: what getaddrinfo returned.
Addresses addresses_of(const std::string& host, int port, int kind, int& status) {
  addrinfo hints{};
  hints.ai_socktype = kind;
  addrinfo* found = nullptr;
  status = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  return {status == 0 ? found : nullptr, freeaddrinfo};
}

bool takes_connection(const addrinfo& target, std::chrono::milliseconds timeout) {
  const int fd = socket(target.ai_family, target.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
                        target.ai_protocol);
  if (fd < 0) return false;
  bool taken = connect(fd, target.ai_addr, target.ai_addrlen) == 0;
  if (!taken && errno == EINPROGRESS) {
    pollfd wanted{fd, POLLOUT, 0};
    int error = 0;
    socklen_t length = sizeof(error);
    taken = poll(&wanted, 1, static_cast<int>(timeout.count())) == 1 &&
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0;
  }
  close(fd);
  return taken;
}

}  // namespace

bool somebody_listens(const std::string& host, int port, std::chrono::milliseconds timeout) {
  int status = 0;
  const Addresses found = addresses_of(host, port, SOCK_STREAM, status);
  for (const addrinfo* at = found.get(); at != nullptr; at = at->ai_next)
    if (takes_connection(*at, timeout)) return true;
  return false;
}

std::string address_towards(const std::string& host, int port, bool several_machines) {
  int status = 0;
  const Addresses found = addresses_of(host, port, SOCK_DGRAM, status);
  if (status != 0) {
    throw Error::input(std::string("the host where the processes meet has no address (") +
                           gai_strerror(status) + ")",
                       host, "see $MASTER_ADDR, or the setting 'dist_url'");
  }
  std::string address;
  for (const addrinfo* at = found.get(); at != nullptr && address.empty(); at = at->ai_next)
    address = source_towards(*at);
  if (is_loopback(address) && several_machines) {
    if (const auto outside = first_outside_address(); !outside.empty()) return outside;
  }
  return address.empty() ? "127.0.0.1" : address;
}

int free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  socklen_t length = sizeof(address);
  const bool bound = fd >= 0 && bind(fd, reinterpret_cast<sockaddr*>(&address), length) == 0 &&
                     getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0;
  if (fd >= 0) close(fd);
  if (!bound) throw Error::failed("no port is free (" + errno_text() + ")");
  return ntohs(address.sin_port);
}

}  // namespace opencloc::dist

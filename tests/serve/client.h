// A client that can also do what good ones do not: it writes bytes and reads until the server is
// done.
#pragma once

#include <cctype>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "opencloc/base/json.h"

namespace opencloc::fixtures {

struct Reply {
  int status = 0;  // 0: the connection was closed without an answer
  std::string head, body;
  // The value of a header, by its name in small letters; empty where there is none.
  std::string header(const std::string& name) const {
    std::string small = head;
    for (char& c : small) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    const size_t at = small.find("\r\n" + name + ": ");
    if (at == small.npos) return {};
    const size_t begin = at + name.size() + 4;
    return head.substr(begin, head.find("\r\n", begin) - begin);
  }
  Json json() const { return parse_json(body, "answer"); }
  std::string message() const { return json()["error"]["message"].get<std::string>(); }
};

// A connection. Reading ends by itself after 60 seconds: a test that gets there fails.
class Connection {
 public:
  explicit Connection(int port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval limit{60, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("cannot connect");
  }
  ~Connection() { close(); }
  Connection(const Connection&) = delete;

  // False when the server has closed its end.
  bool write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  // One answer. `bodiless`: of HEAD.
  Reply read(bool bodiless = false) {
    Reply reply;
    size_t end = 0;
    while ((end = got_.find("\r\n\r\n")) == got_.npos) {
      if (!more()) return reply;
    }
    reply.head = got_.substr(0, end + 2);
    reply.status = std::stoi(reply.head.substr(9, 3));
    got_.erase(0, end + 4);
    const std::string length = reply.header("content-length");
    const size_t bytes = length.empty() || bodiless ? 0 : std::stoul(length);
    while (got_.size() < bytes && more()) continue;
    reply.body = got_.substr(0, bytes);
    got_.erase(0, bytes);
    return reply;
  }
  // Whether the server closes the connection and sends nothing more.
  bool ends() {
    while (got_.empty()) {
      if (!more()) return true;
    }
    return false;
  }
  void close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }

 private:
  bool more() {
    char bytes[16384];
    const ssize_t count = ::recv(socket_, bytes, sizeof bytes, 0);
    if (count <= 0) return false;
    got_.append(bytes, static_cast<size_t>(count));
    return true;
  }
  int socket_;
  std::string got_;
};

struct Ask {
  std::string method = "GET", path = "/", body = {}, type = {}, headers = {};
};

inline std::string request_text(const Ask& ask) {
  std::string text = ask.method + " " + ask.path + " HTTP/1.1\r\n";
  if (ask.headers.find("Host:") == std::string::npos) text += "Host: 127.0.0.1\r\n";
  if (!ask.type.empty()) text += "Content-Type: " + ask.type + "\r\n";
  if (!ask.body.empty()) text += "Content-Length: " + std::to_string(ask.body.size()) + "\r\n";
  return text + ask.headers + "\r\n" + ask.body;
}

inline Reply ask(int port, const Ask& question) {
  Connection connection(port);
  connection.write(request_text(question));
  return connection.read(question.method == "HEAD");
}

}  // namespace opencloc::fixtures

// Limits of the sockets, each with an attack in small.
#include "opencloc/serve/http_server.h"

#include <condition_variable>
#include <mutex>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/error.h"
#include "tests/base/temp_folder.h"
#include "tests/serve/client.h"

namespace opencloc::serve {
namespace {

using fixtures::Ask;
using fixtures::ask;
using fixtures::Connection;
using fixtures::Reply;
using fixtures::request_text;
using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr size_t kLargeAnswer = 32 << 20;  // more than the system takes of a connection

// Answers with what it was sent; holds back answers for /held until they are let go.
class EchoServer {
 public:
  explicit EchoServer(HttpServerOptions options = {}) {
    HttpServer::Handler handler;
    handler.look_at_head = [](const HttpRequest& head) -> std::optional<HttpResponse> {
      if (head.path != "/no") return std::nullopt;
      return text_response("no", 403);
    };
    handler.handle = [this](HttpRequest request, std::shared_ptr<Answer> answer) {
      if (request.path == "/thrown") throw std::runtime_error("a fault");
      if (request.path == "/dropped") return;
      if (request.path == "/large")
        return answer->send(text_response(std::string(kLargeAnswer, 'x')));
      if (request.path != "/held")
        return answer->send(text_response(request.method + " " + request.target + " " +
                                          std::to_string(request.body.size())));
      const std::lock_guard lock(mutex_);
      held_.push_back(std::move(answer));
      changed_.notify_all();
    };
    handler.headers = {{"X-Always", "yes\r\nX-Injected: 1"}};
    server_ = std::make_unique<HttpServer>(options, std::move(handler));
    thread_ = std::thread([this] { in_time_ = server_->run(); });
  }
  ~EchoServer() { stop(); }
  bool stop() {
    if (thread_.joinable()) {
      server_->stop();
      thread_.join();
    }
    return in_time_;
  }
  std::shared_ptr<Answer> next_held() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !held_.empty(); });
    auto answer = held_.front();
    held_.erase(held_.begin());
    return answer;
  }
  int port() const { return server_->port(); }
  HttpServer& server() { return *server_; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::shared_ptr<Answer>> held_;
  std::unique_ptr<HttpServer> server_;
  bool in_time_ = false;
  std::thread thread_;
};

HttpServerOptions with(const std::function<void(HttpLimits&)>& change) {
  HttpServerOptions options;
  change(options.limits);
  return options;
}

TEST(HttpServer, AnswersRequestsOfOneConnectionInTurn) {
  EchoServer server;
  Connection connection(server.port());
  connection.write(request_text({.path = "/a?b=1"}) +
                   request_text({.method = "POST", .path = "/c", .body = "12345"}));
  EXPECT_EQ(connection.read().body, "GET /a?b=1 0");
  EXPECT_EQ(connection.read().body, "POST /c 5");
  connection.write(request_text({.method = "HEAD", .path = "/d"}));
  const Reply head = connection.read(true);
  EXPECT_EQ(head.header("content-length"), std::to_string(std::string("HEAD /d 0").size()));
  connection.write("GET /e HTTP/1.0\r\nHost: a\r\n\r\n");
  EXPECT_EQ(connection.read().body, "GET /e 0");
  EXPECT_TRUE(connection.ends());
}

TEST(HttpServer, TakesChunkedBodiesAndExpectations) {
  EchoServer server;
  Connection connection(server.port());
  connection.write(
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  EXPECT_EQ(connection.read().body, "POST / 5");
  connection.write(
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(connection.read().status, 100);
  connection.write("hi");
  EXPECT_EQ(connection.read().body, "POST / 2");
}

TEST(HttpServer, HeadersHoldNoLineOfTheirOwn) {
  EchoServer server;
  const Reply reply = ask(server.port(), {});
  EXPECT_EQ(reply.header("x-injected"), "");
  EXPECT_THAT(reply.header("x-always"), HasSubstr("yes"));
}

TEST(HttpServer, RefusesBodiesOverTheLimit) {
  EchoServer server(with([](HttpLimits& limits) { limits.body_bytes = 1000; }));
  EXPECT_EQ(ask(server.port(), {.method = "POST", .body = std::string(1000, 'x')}).status, 200);
  const Reply said = ask(server.port(), {.method = "POST", .body = std::string(1001, 'x')});
  EXPECT_EQ(said.status, 413);
  EXPECT_THAT(said.message(), HasSubstr("1000 bytes"));
  EXPECT_THAT(said.message(), HasSubstr("max_body"));
  // The length is not told beforehand.
  Connection connection(server.port());
  connection.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  const std::string chunk = "1f4\r\n" + std::string(500, 'x') + "\r\n";
  for (int i = 0; i < 3; ++i) connection.write(chunk);
  EXPECT_EQ(connection.read().status, 413);
  EXPECT_TRUE(connection.ends());
}

TEST(HttpServer, AnEndlessChunkedBodyIsCutOff) {
  EchoServer server(with([](HttpLimits& limits) { limits.body_bytes = 100'000; }));
  Connection connection(server.port());
  connection.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  const std::string chunk = "10000\r\n" + std::string(0x10000, 'x') + "\r\n";
  int64_t sent = 0;
  while (sent < int64_t{1} << 30 && connection.write(chunk)) sent += 0x10000;
  EXPECT_LT(sent, int64_t{1} << 26);
}

TEST(HttpServer, HoldsNoMoreBodiesThanAllowed) {
  EchoServer server(with([](HttpLimits& limits) {
    limits.body_bytes = 1000;
    limits.all_body_bytes = 1500;
  }));
  Connection first(server.port());
  first.write(request_text({.method = "POST", .path = "/held", .body = std::string(900, 'x')}));
  const auto held = server.next_held();
  const Reply refused = ask(server.port(), {.method = "POST", .body = std::string(900, 'x')});
  EXPECT_EQ(refused.status, 503);
  EXPECT_NE(refused.header("retry-after"), "");
  held->send(text_response("done"));
  EXPECT_EQ(first.read().status, 200);
  EXPECT_EQ(ask(server.port(), {.method = "POST", .body = std::string(900, 'x')}).status, 200);
}

TEST(HttpServer, ClosesThoseWhoDoNotReadWhenMuchIsHeld) {
  EchoServer server(with([](HttpLimits& limits) {
    limits.all_answer_bytes = 2 * kLargeAnswer;
    limits.least_write_time = milliseconds(0);
  }));
  const std::string question = request_text({.path = "/large"});
  std::vector<std::unique_ptr<Connection>> all;
  for (int64_t i = 0; i < 3; ++i) {
    all.push_back(std::make_unique<Connection>(server.port()));
    all.back()->write(question);
    const HttpCounts& counts = server.server().counts();
    while (counts.cut_off == 0 && counts.answer_bytes < (i + 1) * int64_t{kLargeAnswer})
      std::this_thread::yield();
  }
  EXPECT_LT(all[0]->read().body.size(), kLargeAnswer);
  EXPECT_EQ(all[1]->read().body.size(), kLargeAnswer);
  EXPECT_EQ(all[2]->read().body.size(), kLargeAnswer);
  EXPECT_EQ(server.server().counts().cut_off, 1);
}

TEST(HttpServer, RefusesCompressedBodies) {
  EchoServer server;
  const Reply reply =
      ask(server.port(),
          {.method = "POST", .body = "\x1f\x8b", .headers = "Content-Encoding: gzip\r\n"});
  EXPECT_EQ(reply.status, 415);
  EXPECT_THAT(reply.message(), HasSubstr("Content-Encoding"));
}

TEST(HttpServer, RefusesManyHeadersAndLongAddresses) {
  EchoServer server;
  std::string headers;
  for (int i = 0; i < 20'000; ++i) headers += "X-" + std::to_string(i) + ": a\r\n";
  EXPECT_EQ(ask(server.port(), {.headers = headers}).status, 431);
  EXPECT_EQ(ask(server.port(), {.path = "/" + std::string(9000, 'a')}).status, 414);
  EXPECT_EQ(ask(server.port(), {.path = "/" + std::string(100'000, 'a')}).status, 431);
}

TEST(HttpServer, RefusesWhatIsNotHttp) {
  EchoServer server;
  for (const char* text :
       {"hello\r\n\r\n", "GET  HTTP/1.1\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n", "\x16\x03\x01\x02\x01\x01\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
        "0\r\n\r\n"}) {
    Connection connection(server.port());
    connection.write(text);
    EXPECT_EQ(connection.read().status, 400) << text;
    EXPECT_TRUE(connection.ends()) << text;
  }
  EXPECT_EQ(ask(server.port(), {}).status, 200);
}

TEST(HttpServer, SlowHeadsAndBodiesEndInTimeAndOthersDoNotWait) {
  EchoServer server(with([](HttpLimits& limits) {
    limits.head_time = limits.body_time = milliseconds(300);
    limits.per_address = 0;
  }));
  std::vector<std::unique_ptr<Connection>> slow;
  for (int i = 0; i < 100; ++i) {
    slow.push_back(std::make_unique<Connection>(server.port()));
    slow.back()->write(i % 2 == 0 ? "GET / HTTP/1.1\r\nX-A: "
                                  : "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
  }
  EXPECT_EQ(ask(server.port(), {}).status, 200);
  for (const auto& connection : slow) {
    EXPECT_EQ(connection->read().status, 408);
    EXPECT_TRUE(connection->ends());
  }
}

TEST(HttpServer, DrippingDoesNotPutTheEndOff) {
  EchoServer server(with([](HttpLimits& limits) { limits.head_time = milliseconds(300); }));
  Connection connection(server.port());
  connection.write("GET / HTTP/1.1\r\n");
  bool open = true;  // until the server has had enough; 60 s of dripping would be a fault
  for (int i = 0; i < 1200 && open; ++i) {
    std::this_thread::sleep_for(milliseconds(50));
    open = connection.write("X: a\r\n");
  }
  EXPECT_FALSE(open);
}

TEST(HttpServer, IdleConnectionsAreClosed) {
  EchoServer server(with([](HttpLimits& limits) { limits.idle_time = milliseconds(200); }));
  Connection silent(server.port());
  EXPECT_TRUE(silent.ends());
  Connection once(server.port());
  once.write(request_text({}));
  EXPECT_EQ(once.read().status, 200);
  EXPECT_TRUE(once.ends());
}

TEST(HttpServer, LimitsConnectionsOfAnAddressAndOfAll) {
  for (const bool of_address : {true, false}) {
    EchoServer server(with([of_address](HttpLimits& limits) {
      limits.per_address = of_address ? 3 : 0;
      limits.connections = of_address ? 100 : 3;
    }));
    std::vector<std::unique_ptr<Connection>> open;
    for (int i = 0; i < 3; ++i) {
      open.push_back(std::make_unique<Connection>(server.port()));
      open.back()->write(request_text({}));
      EXPECT_EQ(open.back()->read().status, 200);
    }
    Connection more(server.port());
    more.write(request_text({}));
    EXPECT_EQ(more.read().status, 0);
    open.front()->write(request_text({.headers = "Connection: close\r\n"}));
    EXPECT_EQ(open.front()->read().status, 200);
    EXPECT_TRUE(open.front()->ends());
    open.front()->close();
    int status = 0;  // the server hears of the end a moment later
    while (status == 0) status = ask(server.port(), {}).status;
    EXPECT_EQ(status, 200);
  }
}

TEST(HttpServer, AnswersBeforeTheBodyWhereTheHeadSaysEnough) {
  EchoServer server;
  Connection connection(server.port());
  connection.write("POST /no HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
  EXPECT_EQ(connection.read().status, 403);
  EXPECT_TRUE(connection.ends());
}

TEST(HttpServer, LateAnswersAreNotWaitedFor) {
  EchoServer server(with([](HttpLimits& limits) { limits.answer_time = milliseconds(200); }));
  Connection connection(server.port());
  connection.write(request_text({.path = "/held"}));
  const auto held = server.next_held();
  EXPECT_EQ(connection.read().status, 503);
  EXPECT_TRUE(held->abandoned());
  held->send(text_response("too late"));
  EXPECT_TRUE(connection.ends());
}

TEST(HttpServer, HearsOfClientsThatLeave) {
  EchoServer server;
  Connection connection(server.port());
  connection.write(request_text({.path = "/held"}));
  const auto held = server.next_held();
  EXPECT_FALSE(held->abandoned());
  connection.close();
  while (!held->abandoned()) std::this_thread::yield();
}

TEST(HttpServer, FaultsOfHandlersAreAnswers) {
  EchoServer server;
  const Reply thrown = ask(server.port(), {.path = "/thrown"});
  EXPECT_EQ(thrown.status, 500);
  EXPECT_THAT(thrown.body, ::testing::Not(HasSubstr("a fault")));
  EXPECT_EQ(ask(server.port(), {.path = "/dropped"}).status, 500);
}

TEST(HttpServer, StopFinishesWhatHasBegun) {
  EchoServer server;
  Connection idle(server.port());
  idle.write(request_text({}));
  EXPECT_EQ(idle.read().status, 200);
  Connection busy(server.port());
  busy.write(request_text({.path = "/held"}));
  const auto held = server.next_held();
  server.server().stop();
  EXPECT_TRUE(idle.ends());
  held->send(text_response("done"));
  const Reply reply = busy.read();
  EXPECT_EQ(reply.body, "done");
  EXPECT_EQ(reply.header("connection"), "close");
  busy.close();
  EXPECT_TRUE(server.stop());
  EXPECT_THROW(Connection{server.port()}, std::runtime_error);
}

TEST(HttpServer, StopWaitsOnlySoLong) {
  HttpServerOptions options;
  options.drain_time = milliseconds(100);
  EchoServer server(options);
  Connection busy(server.port());
  busy.write(request_text({.path = "/held"}));
  const auto held = server.next_held();
  EXPECT_FALSE(server.stop());
}

TEST(HttpServer, SaysWhyItCannotListen) {
  EchoServer server;
  HttpServerOptions options;
  options.port = server.port();
  EXPECT_THROW(HttpServer(options, {}), Error);
  options.port = 0;
  options.host = "no-address";
  EXPECT_THROW(HttpServer(options, {}), Error);
}

TEST(HttpServer, ListensOnASocketFile) {
  const fixtures::TestFolder folder;
  HttpServerOptions options;
  options.socket = (folder / "s").string();
  {
    EchoServer server(options);
    EXPECT_TRUE(std::filesystem::is_socket(options.socket));
    EXPECT_THROW(HttpServer(options, {}), Error);
  }
  EXPECT_FALSE(std::filesystem::exists(options.socket));
}

}  // namespace
}  // namespace opencloc::serve

// `opencloc serve` as a process: its address, signals, refused settings.
#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/api/tiny_model_directory.h"
#include "tests/cli/run_binary.h"
#include "tests/serve/client.h"

namespace opencloc {
namespace {

using fixtures::ask;
using fixtures::Connection;
using fixtures::request_text;
using ::testing::HasSubstr;

class ServeVerb : public fixtures::BinaryTest {
 protected:
  void SetUp() override { fixtures::write_tiny_model(folder_ / "model"); }

  // Starts it and waits for its address. Returns its port.
  int start(const std::string& flags) {
    const std::string command = "(sh -c 'echo $$ > " + at("pid") + "; exec " + OPENCLOC_BINARY +
                                " serve --device cpu --port 0 " + flags + "' > " + at("out") +
                                " 2> " + at("err") + "; echo $? > " + at("code") + ") &";
    EXPECT_EQ(std::system(command.c_str()), 0);
    const std::string address = wait_for("out");
    EXPECT_THAT(address, HasSubstr("http://127.0.0.1:"));
    return std::stoi(address.substr(address.rfind(':') + 1));
  }
  // The first line of a file that a process writes.
  std::string wait_for(const std::string& name) const {
    for (int i = 0; i < 6000; ++i) {
      if (std::filesystem::exists(at(name))) {
        const std::string text = read_file(at(name));
        if (text.find('\n') != text.npos) return text.substr(0, text.find('\n'));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    ADD_FAILURE() << "nothing in " << name << "\n" << read_file(at("err"));
    return "0";
  }
  void signal(int which) const { ::kill(std::stoi(wait_for("pid")), which); }
};

TEST_F(ServeVerb, AnswersUntilItIsToldToStop) {
  const int port = start("--model " + at("model"));
  EXPECT_EQ(ask(port, {.path = "/readyz"}).status, 200);
  const auto reply = ask(port, {.method = "POST",
                                .path = "/v1/embeddings",
                                .body = R"({"input": "a red car"})",
                                .type = "application/json"});
  EXPECT_EQ(reply.json()["data"][0]["embedding"].size(), 24u);
  Connection idle(port);
  idle.write(request_text({.path = "/healthz"}));
  EXPECT_EQ(idle.read().status, 200);
  signal(SIGTERM);
  EXPECT_EQ(wait_for("code"), "0");
  EXPECT_TRUE(idle.ends());
}

TEST_F(ServeVerb, ASecondSignalEndsItAtOnce) {
  const int port = start("--drain 1000 --model " + at("model"));
  Connection slow(port);  // its request has begun, and does not end
  slow.write("GET /healthz HTTP/1.1\r\n");
  EXPECT_EQ(ask(port, {.path = "/healthz"}).status, 200);
  signal(SIGTERM);
  while (read_file(at("err")).find("stopping") == std::string::npos)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  signal(SIGTERM);
  EXPECT_NE(wait_for("code"), "0");
}

TEST_F(ServeVerb, RefusesWhatCannotBeServed) {
  EXPECT_THAT(refused("serve"), HasSubstr("--model or --index"));
  EXPECT_THAT(refused("serve --model " + at("none")), HasSubstr("none"));
  const std::string model = "serve --device cpu --model " + at("model") + " ";
  EXPECT_THAT(refused(model + "--host 0.0.0.0"), HasSubstr("--api-key-file"));
  EXPECT_THAT(refused(model + "--read-only off"), HasSubstr("--api-key-file"));
  EXPECT_THAT(refused(model + "--index " + at("none")), HasSubstr("none"));
  EXPECT_THAT(refused(model + "--host 127.0.0.300"), HasSubstr("--host"));
  write_file(at("keys"), "# none\n\n");
  EXPECT_THAT(refused(model + "--api-key-file " + at("keys")), HasSubstr("no key"));
  write_file(at("keys"), "short\n");
  EXPECT_THAT(refused(model + "--api-key-file " + at("keys")), HasSubstr("16 characters"));
}

}  // namespace
}  // namespace opencloc

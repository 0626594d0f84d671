// Captioners over HTTP, against a server on the loopback that behaves as badly as it can.
#include "opencloc/label/captioner.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/data/shard/shard_writer.h"
#include "opencloc/label/caption_stage.h"
#include "opencloc/label/pipeline.h"
#include "tests/data/tar_maker.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

using ::testing::HasSubstr;

std::string answer_with(const std::string& text) {
  const Json json = {{"choices", {{{"message", {{"content", text}}}}}}};
  return dump_json(json);
}

// Answers each request by the function given.
class Server {
 public:
  using Handler = std::function<void(const httplib::Request&, httplib::Response&)>;
  explicit Server(Handler handler) {
    server_.Post("/v1/chat/completions",
                 [this, handler = std::move(handler)](const httplib::Request& request,
                                                      httplib::Response& response) {
                   ++requests;
                   handler(request, response);
                 });
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::yield();  // stop() before that is lost
  }
  ~Server() {
    release();
    server_.stop();
    thread_.join();
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/v1/"; }
  // Holds a request until release().
  void hold() {
    std::unique_lock lock(mutex_);
    released_.wait(lock, [this] { return open_; });
  }
  void release() {
    {
      const std::lock_guard lock(mutex_);
      open_ = true;
    }
    released_.notify_all();
  }
  std::atomic<int> requests = 0;

 private:
  httplib::Server server_;
  int port_ = 0;
  std::mutex mutex_;
  std::condition_variable released_;
  bool open_ = false;
  std::thread thread_;
};

std::shared_ptr<const Captioner> captioner_of(const Server& server, double seconds = 20) {
  HttpCaptionerOptions options;
  options.url = server.url();
  options.model = "test-model";
  options.prompt = "What is here? It was called {alt_text}.";
  options.http.seconds = seconds;
  options.http.bearer_token = "key";
  return http_captioner(options);
}

CaptionStageOptions stage_options(const Server& server) {
  CaptionStageOptions options;
  options.captioner = captioner_of(server);
  options.back_off = 0;
  options.concurrency = 3;
  return options;
}

std::vector<LabelSample> samples(size_t count) {
  std::vector<LabelSample> all(count);
  for (size_t i = 0; i < count; ++i) {
    all[i].record = fixtures::make_test_record("k" + std::to_string(i), "old caption");
    all[i].record.image = fixtures::tiny_ppm(2, 2, static_cast<unsigned char>(i));
    all[i].record.alt_text = "a name";
  }
  return all;
}

TEST(Captioner, AsksAsVisionEndpointsAreAsked) {
  Json seen;
  std::string authorization;
  Server server([&](const httplib::Request& request, httplib::Response& response) {
    seen = parse_json(request.body, "request");
    authorization = request.get_header_value("Authorization");
    response.set_content(answer_with("  A red\nbus.<|im_end|> "), "application/json");
  });
  const auto answer = captioner_of(server)->ask({"bytes", "jpg", "alt text"});
  EXPECT_EQ(answer.text, "A red bus.");
  EXPECT_EQ(answer.failure, "");
  EXPECT_EQ(authorization, "Bearer key");
  EXPECT_EQ(seen["model"], "test-model");
  EXPECT_EQ(seen["messages"][0]["role"], "user");
  const Json& content = seen["messages"][0]["content"];
  EXPECT_EQ(content[0]["text"], "What is here? It was called alt text.");
  EXPECT_EQ(content[1]["image_url"]["url"], "data:image/jpeg;base64,Ynl0ZXM=");
}

TEST(Captioner, WhateverComesBackIsAnAnswer) {
  struct Case {
    int status;
    std::string body;
    std::string failure;
    bool retry;
  };
  const std::vector<Case> cases = {
      {500, "oops", "status 500", true},
      {429, "", "status 429", true},
      {400, "no", "status 400", false},
      {200, "garbage \xff\x00", "answer is not JSON", true},
      {200, "", "answer is not JSON", true},
      {200, "{}", "answer of another form", true},
      {200, "[1, 2]", "answer of another form", true},
      {200, R"({"choices": []})", "answer of another form", true},
      {200, R"({"choices": [{"message": {"content": null}}]})", "answer of another form", true},
      {200, std::string(300, '['), "answer is not JSON", true},
      {200, std::string(2 << 20, 'x'), "answer too long", true},
      {200, answer_with(" \n\t "), "empty", true},
      {200, answer_with("... !!"), "empty", true},
      {200, answer_with("I'm sorry, I cannot help with that."), "refusal", false}};
  size_t at = 0;
  Server server([&](const httplib::Request&, httplib::Response& response) {
    response.status = cases[at].status;
    response.set_content(cases[at].body, "application/json");
  });
  const auto captioner = captioner_of(server);
  for (; at < cases.size(); ++at) {
    const auto answer = captioner->ask({"x", "png", ""});
    EXPECT_EQ(answer.text, "");
    EXPECT_EQ(answer.failure, cases[at].failure);
    EXPECT_EQ(answer.retry, cases[at].retry) << cases[at].failure;
  }
}

TEST(Captioner, HostileTextIsCleaned) {
  std::string failure;
  EXPECT_EQ(clean_caption(std::string("a\0b\x1b[31m c\x7f", 11), failure), "a b [31m c");
  EXPECT_EQ(clean_caption("caf\xc3\xa9 \xff bus", failure), "café \xef\xbf\xbd bus");
  std::string many;
  for (int i = 0; i < 3000; ++i) many += "word" + std::to_string(i) + " ";
  const auto cut = clean_caption(many, failure);
  EXPECT_LE(cut.size(), 4000U);
  EXPECT_EQ(failure, "");
  std::string loop;
  for (int i = 0; i < 100; ++i) loop += "a dog and a cat ";
  EXPECT_EQ(clean_caption(loop, failure), "");
  EXPECT_EQ(failure, "repeats itself");
}

TEST(Captioner, ATimeOutIsAnAnswer) {
  Server* self = nullptr;
  Server server([&](const httplib::Request&, httplib::Response&) { self->hold(); });
  self = &server;
  const auto answer = captioner_of(server, 0.2)->ask({"x", "png", ""});
  EXPECT_EQ(answer.failure, "timed out");
  EXPECT_TRUE(answer.retry);
}

TEST(Captioner, NobodyListens) {
  std::string url;
  {
    const Server server([](const httplib::Request&, httplib::Response&) {});
    url = server.url();
  }
  HttpCaptionerOptions options;
  options.url = url;
  const auto answer = http_captioner(options)->ask({"x", "png", ""});
  EXPECT_EQ(answer.failure, "cannot connect");
  for (const char* wrong : {"", "localhost:80", "ftp://x/v1", "http://"}) {
    options.url = wrong;
    EXPECT_THROW(http_captioner(options), Error) << wrong;
  }
}

TEST(CaptionStage, NewCaptionsBesideTheOldOnes) {
  Server server([](const httplib::Request&, httplib::Response& response) {
    response.set_content(answer_with("A rich caption."), "application/json");
  });
  auto batch = samples(5);
  const auto stage = caption_stage(stage_options(server));
  stage->run(batch);
  for (const auto& sample : batch) {
    EXPECT_EQ(sample.record.caption, "A rich caption.");
    EXPECT_EQ(sample.record.captions, std::vector<std::string>{"old caption"});
    EXPECT_EQ(sample.record.extra["vesl"]["caption"]["captioner"], "test-model");
  }
  EXPECT_EQ(stage->config()["captioner"], "test-model");
  EXPECT_EQ(stage->take_report()["asked"], 5);
}

TEST(CaptionStage, RetriesAndThenKeepsWhatItHas) {
  std::atomic<int> count = 0;
  Server server([&](const httplib::Request&, httplib::Response& response) {
    if (count++ < 3)
      response.status = 500;
    else
      response.set_content(answer_with("At last."), "application/json");
  });
  auto options = stage_options(server);
  options.concurrency = 1;
  auto batch = samples(2);
  const auto stage = caption_stage(options);
  stage->run(batch);
  EXPECT_EQ(batch[0].record.caption, "At last.");
  Json report = stage->take_report();
  EXPECT_EQ(report["asked"], 5);
  EXPECT_EQ(report["retries"], 3);
  EXPECT_EQ(report["failures"]["status 500"], 3);
  EXPECT_EQ(report["without_answer"].size(), 0U);

  count = -1000;
  batch = samples(2);
  stage->run(batch);
  EXPECT_EQ(batch[1].record.caption, "old caption");
  EXPECT_EQ(batch[1].record.extra["vesl"]["caption"]["failure"], "status 500");
  EXPECT_EQ(chosen_text(batch[1]), "old caption");
  report = stage->take_report();
  EXPECT_EQ(report["without_answer"]["status 500"], 2);
  // Two pictures and at most 5 retries together (half a picture each, and 4).
  EXPECT_EQ(report["asked"], 2 + 5);
}

TEST(CaptionStage, ADeadServerIsNotAskedForEver) {
  Server server(
      [](const httplib::Request&, httplib::Response& response) { response.status = 503; });
  auto options = stage_options(server);
  options.concurrency = 1;
  options.give_up_after = 3;
  options.retry_share = 0;
  auto batch = samples(50);
  const auto stage = caption_stage(options);
  stage->run(batch);
  const Json report = stage->take_report();
  EXPECT_EQ(report["without_answer"]["not asked"], 47);
  EXPECT_EQ(server.requests, 3 + 4);
  EXPECT_EQ(batch[49].record.caption, "old caption");
}

// One shard of `count` pictures through the captioner; its error, or "no error".
std::string label_error(const fixtures::TempFolder& folder, const CaptionStageOptions& options,
                        size_t count) {
  std::filesystem::create_directories(folder / "in");
  ShardWriter writer(folder / "in/0.tar");
  for (const auto& sample : samples(count)) writer.write(sample.record);
  writer.commit();
  LabelOptions label;
  label.shards = {(folder / "in/0.tar").string()};
  label.out = folder / "out";
  std::vector<std::unique_ptr<Stage>> stages;
  stages.push_back(caption_stage(options));
  return fixtures::error_of([&] { label_shards(label, stages); }, 1);
}

TEST(CaptionStage, AShardWithoutAnswersIsNotFinished) {
  std::atomic<bool> up = false;
  Server server([&](const httplib::Request&, httplib::Response& response) {
    if (up)
      response.set_content(answer_with("A dog."), "application/json");
    else
      response.status = 503;
  });
  auto options = stage_options(server);
  options.attempts = 1;
  const fixtures::TempFolder folder;
  EXPECT_THAT(label_error(folder, options, 3), HasSubstr("3 of 3 pictures no answer"));
  EXPECT_FALSE(std::filesystem::exists(folder / "out/0.tar"));
  EXPECT_FALSE(std::filesystem::exists(folder / "out/0.tar.report.json"));
  up = true;
  EXPECT_EQ(label_error(folder, options, 3), "no error");
  EXPECT_TRUE(std::filesystem::exists(folder / "out/0.tar"));
}

TEST(CaptionStage, AServerThatDiesMidwayIsNoFinishedShardEither) {
  std::atomic<int> answers = 32;  // of 40, in batches of 16: the last one gets none
  Server server([&](const httplib::Request&, httplib::Response& response) {
    if (answers-- > 0)
      response.set_content(answer_with("A dog."), "application/json");
    else
      response.status = 503;
  });
  auto options = stage_options(server);
  options.attempts = 1;
  options.concurrency = 1;
  const fixtures::TempFolder folder;
  EXPECT_THAT(label_error(folder, options, 40), HasSubstr("8 of 40 pictures"));
  EXPECT_FALSE(std::filesystem::exists(folder / "out/0.tar"));
}

TEST(CaptionStage, AFewPicturesWithoutAnswerAreCountedAndTheShardIsFinished) {
  std::atomic<int> asked = 0;
  Server server([&](const httplib::Request&, httplib::Response& response) {
    if (asked++ % 5 == 0)
      response.status = 400;
    else
      response.set_content(answer_with("A dog."), "application/json");
  });
  const fixtures::TempFolder folder;
  EXPECT_EQ(label_error(folder, stage_options(server), 10), "no error");
  const Json report = read_json(folder / "out/0.tar.report.json");
  EXPECT_EQ(report["stages"]["caption"]["without_answer"]["status 400"], 2);
  // Texts of no use are answers.
  Server refusing([](const httplib::Request&, httplib::Response& response) {
    response.set_content(answer_with("I'm sorry, I cannot help."), "application/json");
  });
  const fixtures::TempFolder other;
  EXPECT_EQ(label_error(other, stage_options(refusing), 3), "no error");
}

TEST(CaptionStage, NothingIsAskedTwice) {
  const fixtures::TempFolder folder;
  Server server([](const httplib::Request&, httplib::Response& response) {
    response.set_content(answer_with("Seen once."), "application/json");
  });
  auto options = stage_options(server);
  options.cache = folder / "cache";
  auto batch = samples(4);
  caption_stage(options)->run(batch);
  EXPECT_EQ(server.requests, 4);
  auto again = samples(4);
  const auto stage = caption_stage(options);
  stage->run(again);
  EXPECT_EQ(server.requests, 4);
  EXPECT_EQ(stage->take_report()["from_cache"], 4);
  EXPECT_EQ(again[3].record.caption, "Seen once.");
  // Another prompt is another question; a damaged entry is asked again.
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder / "cache")) {
    if (entry.is_regular_file()) write_file(entry.path(), "{");
  }
  again = samples(4);
  caption_stage(options)->run(again);
  EXPECT_EQ(server.requests, 8);
  EXPECT_EQ(again[3].record.caption, "Seen once.");
}

}  // namespace
}  // namespace opencloc

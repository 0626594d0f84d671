// Shards of other machines, from servers that fail in every way: the bytes are those on the disk of
// the server, or there is one clear Error.
#include <chrono>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/rng.h"
#include "opencloc/data/remote/remote_names.h"
#include "opencloc/data/shard/find_shards.h"
#include "tests/data/remote_fixture.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::error_of;
using fixtures::HostileServer;
using fixtures::RemoteTest;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(RemoteTest, IsFetchedOnceAndKept) {
  const std::string url = put("a.tar", 20);
  EXPECT_EQ(keys(url), keys((folder_ / "a.tar").string()));
  EXPECT_EQ(server_.gets, 1);
  start_process();
  EXPECT_EQ(keys(url), keys((folder_ / "a.tar").string()));
  EXPECT_EQ(server_.gets, 1);
  EXPECT_EQ(server_.heads, 1);  // is it still the same?
  put("a.tar", 25);
  start_process();
  EXPECT_EQ(keys(url).size(), 25U);
  server_.answer_with([](const auto&, auto& response) { response.status = 500; });
  start_process();
  EXPECT_EQ(keys(url).size(), 25U);  // the server cannot be asked: with a warning
}

TEST_F(RemoteTest, ReadersTakeNamesLikePaths) {
  put("x-00.tar", 3, 0);
  put("x-01.tar", 3, 3);
  const auto shards = find_shards(server_.url("/x-{00..01}.tar"), {}, skips_);
  ASSERT_EQ(shards.size(), 2U);
  EXPECT_EQ(count_samples(shards[1], skips_), 3);
  ShardReader reader(shards[1], skips_);
  Record record;
  ASSERT_TRUE(reader.next(record));
  EXPECT_EQ(record.key, "key3");
  EXPECT_THAT(keys(server_.url("/x-{00..01}.tar")),
              ElementsAre("key0", "key1", "key2", "key3", "key4", "key5"));
}

TEST_F(RemoteTest, BusyServersAreAskedAgain) {
  const std::string url = put("a.tar", 20);
  int asked = 0;
  server_.answer_with([&](const auto& request, auto& response) {
    if (++asked <= 3) {
      response.status = 503;
    } else {
      server_.serve(request, response);
    }
  });
  EXPECT_EQ(fetched(url), bytes_of("a.tar"));
  EXPECT_EQ(server_.gets, 4);
  server_.answer_with([](const auto&, auto& response) { response.status = 503; });
  EXPECT_THAT(
      error_of([&] { fetched(url + "?new"); }, 1),
      AllOf(HasSubstr("status 503; 4 attempts"), HasSubstr(url), HasSubstr("run it again")));
}

TEST_F(RemoteTest, CutConnectionsGoOnWhereTheyStopped) {
  const std::string url = put("a.tar", 20), bytes = bytes_of("a.tar");
  int asked = 0;
  server_.answer_with([&](const auto&, auto& response) {
    HostileServer::cut(response, bytes, bytes.size(),
                       ++asked == 4 ? bytes.size() : bytes.size() / 5, "\"v\"");
  });
  EXPECT_EQ(fetched(url), bytes);
  EXPECT_EQ(server_.gets, 4);
  const auto seen = server_.seen();
  EXPECT_EQ(seen[1].get_header_value("Range"), "bytes=" + std::to_string(bytes.size() / 5) + "-");
}

TEST_F(RemoteTest, ServersWithoutRangesStartAnew) {
  const std::string url = put("a.tar", 20), bytes = bytes_of("a.tar");
  int asked = 0;
  server_.answer_with([&](const auto& request, auto& response) {
    const_cast<httplib::Request&>(request).ranges.clear();
    HostileServer::cut(response, bytes, bytes.size(),
                       ++asked == 3 ? bytes.size() : bytes.size() / 2, "\"v\"");
  });
  EXPECT_EQ(fetched(url), bytes);
  EXPECT_EQ(server_.gets, 3);
}

TEST_F(RemoteTest, FilesThatChangeMeanwhileAreBegunAnew) {
  const std::string url = put("a.tar", 20), old = bytes_of("a.tar");
  put("a.tar", 22, 100);
  const std::string now = bytes_of("a.tar");
  int asked = 0;
  server_.answer_with([&](const auto&, auto& response) {
    if (++asked == 1) {
      HostileServer::cut(response, old, old.size(), old.size() / 2, "\"old\"");
    } else {
      HostileServer::cut(response, now, now.size(), now.size(), "\"now\"");
    }
  });
  EXPECT_EQ(fetched(url), now);
  server_.answer_with([&](const auto&, auto& response) {
    HostileServer::cut(response, now, now.size(), now.size() / 2, std::to_string(++asked));
  });
  EXPECT_THAT(error_of([&] { fetched(url + "?new"); }, 1),
              HasSubstr("changes on the server while it is fetched"));
}

TEST_F(RemoteTest, LiesAboutTheLengthAreFound) {
  const std::string url = put("a.tar", 20), bytes = bytes_of("a.tar");
  server_.answer_with([&](const auto&, auto& response) {  // says more than it has
    HostileServer::cut(response, bytes, bytes.size() + 1000, bytes.size(), "\"v\"");
  });
  EXPECT_THAT(error_of([&] { fetched(url); }, 1),
              HasSubstr(std::to_string(bytes.size()) + " of " +
                        std::to_string(bytes.size() + 1000) + " bytes came"));
  int asked = 0;
  server_.answer_with([&](const auto&, auto& response) {  // another length each time
    const size_t length = bytes.size() + (asked++ % 2);
    HostileServer::cut(response, bytes, length, bytes.size() / 2, "\"v\"");
  });
  EXPECT_THAT(error_of([&] { fetched(url); }, 1), HasSubstr("on the server"));
  EXPECT_TRUE(fs::is_empty(folder_ / "cache" / "shards" / hash_of_name(url)) ||
              !fs::exists(folder_ / "cache" / "shards" / hash_of_name(url) / "a.tar"));
  server_.answer_with(nullptr);
  EXPECT_EQ(fetched(url), bytes);  // and nothing of it is left
}

TEST_F(RemoteTest, RandomMisbehaviourGivesTheBytesOrOneError) {
  const std::string url = put("a.tar", 40), bytes = bytes_of("a.tar");
  int right = 0, errors = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    Rng rng(seed);
    server_.answer_with([&](const auto& request, auto& response) {
      switch (rng.below(6)) {
        case 0:
          response.status = 503;
          break;
        case 1:
          HostileServer::cut(response, bytes, bytes.size(), 0, "\"v\"");
          break;
        case 2:
          response.status = 429;
          response.set_content("slow down", "text/plain");
          break;
        case 3:
          server_.serve(request, response);
          break;
        default:
          HostileServer::cut(response, bytes, bytes.size(), rng.below(bytes.size()), "\"v\"");
      }
    });
    const std::string name = url + "?" + std::to_string(seed);
    try {
      ASSERT_EQ(fetched(name), bytes) << seed;
      ++right;
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), 1) << error.what();
      ++errors;
    }
  }
  EXPECT_GT(right, 10);
  EXPECT_GT(errors, 0);
}

TEST_F(RemoteTest, WhatIsNotThereIsSaidAtOnce) {
  const std::string url = server_.url("/none.tar");
  EXPECT_THAT(error_of([&] { keys(url); }),
              AllOf(HasSubstr("no such shard (status 404)"), HasSubstr("none.tar")));
  EXPECT_EQ(server_.gets, 1);
  put("a.tar", 4);
  const SampleStore store(server_.url("/{a,none}.tar"), skips_, {.skip_bad_shards = true});
  EXPECT_EQ(store.total(), 4U);
  EXPECT_EQ(skips_.count(skip::kBadShard), 1);
  server_.answer_with([](const auto&, auto& response) { response.status = 403; });
  EXPECT_THAT(error_of([&] { fetched(url); }), HasSubstr("refuses access (status 403)"));
  EXPECT_THAT(error_of([&] { fetched("http://127.0.0.1:1/a.tar"); }, 1), HasSubstr("4 attempts"));
  EXPECT_THAT(error_of([&] { keys("http://127.0.0.1:1/*.tar"); }), HasSubstr("no list"));
  EXPECT_THAT(error_of([&] { keys("gs://b/0.tar"); }), HasSubstr("pipe:COMMAND"));
}

TEST_F(RemoteTest, SecretsStayOutOfMessages) {
  EXPECT_EQ(shown_name("https://me:secret@host/a.tar?sig=secret"), "https://host/a.tar");
  EXPECT_EQ(shown_name("https://host/a@b.tar"), "https://host/a@b.tar");
}

TEST_F(RemoteTest, TheCacheKeepsItsSizeAndLetsTheOldestGo) {
  const std::string a = put("a.tar", 20), b = put("b.tar", 20), c = put("c.tar", 20);
  const uint64_t one = bytes_of("a.tar").size();
  start_process(2 * one + one / 2);
  fetched(a);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  fetched(b);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  fetched(a);  // used last
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const int open = CachedShard(b).open();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  fetched(a);
  EXPECT_EQ(server_.gets, 2);
  fetched(c);  // b goes
  EXPECT_EQ(server_.gets, 3);
  EXPECT_EQ(read_file("/proc/self/fd/" + std::to_string(open)), bytes_of("b.tar"));
  ::close(open);
  fetched(a);
  EXPECT_EQ(server_.gets, 3);
  fetched(b);
  EXPECT_EQ(server_.gets, 4);
  uint64_t held = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder_ / "cache" / "shards")) {
    if (entry.path().extension() == ".tar") held += entry.file_size();
  }
  EXPECT_LE(held, 2 * one + one / 2);
  start_process(one - 1);
  EXPECT_THAT(error_of([&] { fetched(c + "?new"); }, 1), HasSubstr("does not fit the cache"));
}

// Samples by number from more shards than the cache holds: slow, and right.
TEST_F(RemoteTest, ShardsThatWentAreFetchedAgainForTheirSamples) {
  put("0.tar", 300, 0);
  put("1.tar", 300, 300);
  start_process(bytes_of("0.tar").size() * 3 / 2);
  const std::string data = server_.url("/{0..1}.tar");
  const SampleStore store(data, skips_);
  for (const uint64_t i : {5U, 305U, 6U, 599U, 0U})
    EXPECT_EQ(store.read(0, i).key, "key" + std::to_string(i));
  EXPECT_GE(server_.gets, 6);
  // A new process knows the numbers of samples from the indexes, without the shards.
  const int gets = server_.gets;
  start_process(bytes_of("0.tar").size() * 3 / 2);
  EXPECT_EQ(SampleStore(data, skips_).total(), 600U);
  EXPECT_EQ(server_.gets, gets);
}

TEST_F(RemoteTest, ManyReadersFetchOnce) {
  const std::string url = put("a.tar", 50);
  std::vector<std::thread> readers;
  std::atomic<int> right{0};
  for (int i = 0; i < 8; ++i) {
    readers.emplace_back([&] { right += fetched(url) == bytes_of("a.tar") ? 1 : 0; });
  }
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(right, 8);
  EXPECT_EQ(server_.gets, 1);
}

TEST_F(RemoteTest, CommandsGiveShards) {
  put("p-0.tar", 3, 0);
  put("p-1.tar", 3, 3);
  const std::string cat = "pipe:cat " + (folder_ / "p-{0..1}.tar").string();
  EXPECT_EQ(keys(cat + " | awk '{print}' RS='\\0' ORS='\\0' >/dev/null; cat " +
                 (folder_ / "p-0.tar").string())
                .size(),
            6U);
  EXPECT_EQ(keys(cat), (std::vector<std::string>{"key0", "key1", "key2", "key3", "key4", "key5"}));
  EXPECT_THAT(error_of([&] { keys("pipe:echo half; exit 3"); }),
              AllOf(HasSubstr("ended with status 3"), HasSubstr("pipe:echo half; exit 3")));
  EXPECT_THAT(error_of([&] { keys("pipe:kill -9 $$"); }), HasSubstr("signal 9"));
  EXPECT_THAT(error_of([&] { keys("pipe:true"); }), HasSubstr("wrote nothing"));
  EXPECT_EQ(shard_file_name("pipe:aws s3 cp s3://b/x/00.tar -"), "00.tar");
  EXPECT_EQ(shard_file_name("https://h/x/00.tar.gz?a=b/c"), "00.tar.gz");
}

}  // namespace
}  // namespace opencloc

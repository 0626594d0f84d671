// Shards of other machines, from servers that fail in every way: the bytes are those on the disk of
// the server, or there is one clear Error.
#include <chrono>
#include <iomanip>
#include <sstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "opencloc/base/files.h"
#include "opencloc/base/rng.h"
#include "opencloc/data/load/loader_store.h"
#include "opencloc/data/remote/cache.h"
#include "opencloc/data/remote/remote_names.h"
#include "opencloc/data/shard/find_shards.h"
#include "opencloc/data/shard/shard_writer.h"
#include "tests/data/hostile_server.h"
#include "tests/data/tar_maker.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::error_of;
using fixtures::HostileServer;
using fixtures::TempFolder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class RemoteTest : public ::testing::Test {
 protected:
  RemoteTest() { start_process(); }
  ~RemoteTest() override { set_shard_cache({}); }

  // What a new process finds: the cache's folder, and nothing in memory.
  void start_process(uint64_t bytes = 1 << 30) {
    set_shard_cache({.folder = folder_ / "cache",
                     .bytes = bytes,
                     .retry = {.attempts = 4, .first_wait = 0.001, .stall_seconds = 5}});
  }
  // A shard of `samples` samples of 2 KiB, also on the server.
  std::string put(const std::string& name, int samples, int first = 0) {
    const fs::path path = folder_ / name;
    ShardWriter writer(path);
    for (int i = 0; i < samples; ++i) {
      writer.write(fixtures::make_test_record("key" + std::to_string(first + i)));
    }
    writer.commit();
    server_.put("/" + name, read_file(path));
    return server_.url("/" + name);
  }
  std::string bytes_of(const std::string& name) const { return read_file(folder_ / name); }
  static std::string fetched(const std::string& url) {
    const int fd = CachedShard(url).open();
    std::string bytes = read_file("/proc/self/fd/" + std::to_string(fd));
    ::close(fd);
    return bytes;
  }
  std::vector<std::string> keys(const std::string& data) {
    const SampleStore store(data, skips_);
    std::vector<std::string> found;
    for (uint64_t i = 0; i < store.size(0); ++i) found.push_back(store.read(0, i).key);
    return found;
  }

  TempFolder folder_;
  HostileServer server_;
  SkipCounter skips_{0};
};

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

std::string hex(const unsigned char* bytes, size_t count) {
  std::ostringstream text;
  for (size_t i = 0; i < count; ++i)
    text << std::hex << std::setw(2) << std::setfill('0') << static_cast<int>(bytes[i]);
  return text.str();
}

std::string keyed_hash(const std::string& key, const std::string& text) {
  unsigned char digest[32];
  unsigned length = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest, &length);
  return {reinterpret_cast<char*>(digest), length};
}

// The signature as the server computes it (AWS Signature Version 4).
std::string expected_signature(const httplib::Request& request, const std::string& secret) {
  const std::string header = request.get_header_value("Authorization");
  const auto part = [&](const std::string& name) {
    const size_t at = header.find(name + "=") + name.size() + 1;
    return header.substr(at, header.find(',', at) - at);
  };
  const std::string scope = part("Credential").substr(part("Credential").find('/') + 1);
  const std::string signed_headers = part("SignedHeaders");
  const size_t question = request.target.find('?');
  std::string canonical =
      request.method + "\n" + request.target.substr(0, question) + "\n" +
      (question == std::string::npos ? "" : request.target.substr(question + 1)) + "\n";
  std::istringstream names(signed_headers);
  for (std::string name; std::getline(names, name, ';');)
    canonical += name + ":" + request.get_header_value(name.c_str()) + "\n";
  canonical += "\n" + signed_headers + "\n" + request.get_header_value("x-amz-content-sha256");
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(canonical.data()), canonical.size(), digest);
  const std::string text = "AWS4-HMAC-SHA256\n" + request.get_header_value("x-amz-date") + "\n" +
                           scope + "\n" + hex(digest, sizeof digest);
  std::string key = "AWS4" + secret;
  std::istringstream parts(scope);
  for (std::string step; std::getline(parts, step, '/');) key = keyed_hash(key, step);
  const std::string signature = keyed_hash(key, text);
  return hex(reinterpret_cast<const unsigned char*>(signature.data()), signature.size());
}

class S3Test : public RemoteTest {
 protected:
  S3Test() {
    ::setenv("AWS_ENDPOINT_URL", server_.url().c_str(), 1);
    ::setenv("AWS_REGION", "us-west-2", 1);
    ::setenv("AWS_ACCESS_KEY_ID", "AKID", 1);
    ::setenv("AWS_SECRET_ACCESS_KEY", "se/cret", 1);
    ::setenv("AWS_SESSION_TOKEN", "to/ken==", 1);
    server_.answer_with([this](const auto& request, auto& response) { answer(request, response); });
  }
  ~S3Test() override {
    for (const char* name : {"AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID",
                             "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"})
      ::unsetenv(name);
  }
  void answer(const httplib::Request& request, httplib::Response& response) {
    const std::string header = request.get_header_value("Authorization");
    const size_t at = header.find("Signature=");
    const bool right = at != std::string::npos &&
                       header.find("/us-west-2/s3/aws4_request") != std::string::npos &&
                       request.get_header_value("x-amz-security-token") == "to/ken==" &&
                       header.substr(at + 10) == expected_signature(request, "se/cret");
    if (!right) {
      response.status = 403;
      response.set_content("<Error><Code>SignatureDoesNotMatch</Code></Error>", "text/xml");
    } else if (request.path == "/bucket/" && request.has_param("list-type")) {
      list(request, response);
    } else {
      server_.serve(request, response);
    }
  }
  // Two keys a page.
  void list(const httplib::Request& request, httplib::Response& response) {
    const std::string prefix = request.get_param_value("prefix");
    const std::string token = request.get_param_value("continuation-token");
    const size_t begin = token.empty() ? 0 : std::stoul(token.substr(1));
    std::vector<std::string> keys;
    for (const auto& key : objects_) {
      if (key.starts_with(prefix)) keys.push_back(key);
    }
    std::string xml =
        "<?xml version=\"1.0\"?>\n<ListBucketResult "
        "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
    for (size_t i = begin; i < std::min(keys.size(), begin + 2); ++i)
      xml += "<Contents><Key>" + keys[i] + "</Key><Size>1</Size></Contents>";
    if (begin + 2 < keys.size())
      xml += "<NextContinuationToken>+" + std::to_string(begin + 2) + "</NextContinuationToken>";
    response.set_content(xml + "</ListBucketResult>", "application/xml");
  }

  std::vector<std::string> objects_ = {"set/00.tar",  "set/01.tar",      "set/02.tar",
                                       "set/a b.tar", "set/report.json", "set/sub/03.tar",
                                       "zz.tar"};
};

TEST_F(S3Test, ObjectsAreSignedAndFetched) {
  put("o.tar", 20);
  server_.put("/bucket/set/a b.tar", bytes_of("o.tar"));
  server_.put("/bucket/set/00.tar", bytes_of("o.tar"));
  EXPECT_EQ(fetched("s3://bucket/set/00.tar"), bytes_of("o.tar"));
  EXPECT_EQ(fetched("s3://bucket/set/a b.tar"), bytes_of("o.tar"));
  ::setenv("AWS_SECRET_ACCESS_KEY", "other", 1);
  EXPECT_THAT(error_of([&] { fetched("s3://bucket/set/01.tar"); }),
              AllOf(HasSubstr("SignatureDoesNotMatch"), HasSubstr("AWS_SECRET_ACCESS_KEY")));
}

TEST_F(S3Test, PrefixesAndGlobsAreLists) {
  EXPECT_THAT(find_shards("s3://bucket/set/", {}, skips_),
              ElementsAre("s3://bucket/set/00.tar", "s3://bucket/set/01.tar",
                          "s3://bucket/set/02.tar", "s3://bucket/set/a b.tar"));
  EXPECT_THAT(find_shards("s3://bucket/s*/0[13].tar::s3://bucket/z?.tar", {}, skips_),
              ElementsAre("s3://bucket/set/01.tar", "s3://bucket/zz.tar"));
  EXPECT_THAT(find_shards("s3://bucket/set/{00..01}.tar", {}, skips_).size(), 2U);
  EXPECT_THAT(error_of([&] { find_shards("s3://bucket/none/", {}, skips_); }),
              HasSubstr("no shard matches"));
  EXPECT_THAT(error_of([&] { find_shards("s3:///x/", {}, skips_); }), HasSubstr("no bucket"));
  server_.answer_with(
      [](const auto&, auto& response) { response.set_content("<html>hello</html>", "text/html"); });
  EXPECT_THAT(error_of([&] { find_shards("s3://bucket/set/", {}, skips_); }),
              HasSubstr("no list of keys"));
}

TEST_F(S3Test, AnotherRegionIsNamed) {
  server_.answer_with([](const auto&, auto& response) {
    response.status = 301;
    response.set_header("x-amz-bucket-region", "eu-north-1");
  });
  EXPECT_THAT(error_of([&] { fetched("s3://bucket/set/00.tar"); }),
              HasSubstr("AWS_REGION=eu-north-1"));
}

}  // namespace
}  // namespace opencloc

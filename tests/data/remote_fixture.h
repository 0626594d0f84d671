// A server with shards, and a cache that belongs to the test.
#pragma once

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "opencloc/base/files.h"
#include "opencloc/data/load/loader_store.h"
#include "opencloc/data/remote/cache.h"
#include "opencloc/data/shard/shard_writer.h"
#include "tests/data/hostile_server.h"
#include "tests/data/tar_maker.h"

namespace opencloc::fixtures {

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
    const std::filesystem::path path = folder_ / name;
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

  fixtures::TempFolder folder_;
  fixtures::HostileServer server_;
  SkipCounter skips_{0};
};

}  // namespace opencloc::fixtures

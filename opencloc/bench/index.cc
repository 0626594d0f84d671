#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>

#include "opencloc/base/temporary.h"
#include "opencloc/bench/subjects.h"
#include "opencloc/data/load/loader_store.h"
#include "opencloc/data/load/sampler.h"
#include "opencloc/data/shard/shard_writer.h"

namespace opencloc::bench {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kSamplesPerShard = 10'000;

struct TemporaryFolder {
  fs::path path = fs::temp_directory_path() / ("opencloc-bench-" + owner_tag() + ".shards");
  TemporaryFolder() { fs::create_directories(path); }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
};

double seconds_since(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

// One shard of tiny samples under many names, so that any number of samples takes 20 MB of disk.
// Each name gets an index of its own.
void make_shards(const fs::path& folder, int64_t shards) {
  const fs::path first = folder / "000000.tar";
  {
    ShardWriter writer(first);
    Record record;
    record.extension = "jpg";
    record.image = std::string(400, 'x');
    record.caption = "a caption";
    for (int64_t i = 0; i < kSamplesPerShard; ++i) {
      record.key = std::to_string(i);
      writer.write(record);
    }
    writer.commit();
  }
  // Indexes of shards that have just changed are not kept.
  fs::last_write_time(first, fs::file_time_type::clock::now() - std::chrono::minutes(1));
  for (int64_t i = 1; i < shards; ++i) {
    std::string name = std::to_string(i);
    name.insert(0, 6 - std::min<size_t>(6, name.size()), '0');
    fs::create_hard_link(first, folder / (name + ".tar"));
  }
}

}  // namespace

void index(const BenchOptions& options) {
  const TemporaryFolder folder;
  const int64_t shards = std::max<int64_t>(1, options.samples / kSamplesPerShard);
  make_shards(folder.path, shards);
  SkipCounter skips(0);
  for (const char* name : {"first", "again"}) {
    const int64_t own = status_kib("RssAnon:"), mapped = status_kib("RssFile:");
    auto began = std::chrono::steady_clock::now();
    const SampleStore store(folder.path.string(), skips, {.threads = options.threads});
    Sampler sampler(store.sizes(), {}, options.seed);
    const double opened = seconds_since(began);
    const int64_t own_open = status_kib("RssAnon:") - own;
    // An epoch's places, and the samples at some of them.
    constexpr int64_t kDraws = 1'000'000, kReads = 100'000;
    uint64_t sum = 0;
    began = std::chrono::steady_clock::now();
    for (int64_t i = 0; i < kDraws; ++i) sum += sampler.next().index;
    const double drawn = seconds_since(began);
    began = std::chrono::steady_clock::now();
    for (int64_t i = 0; i < kReads; ++i) sum += store.read(0, sampler.next().index).image.size();
    const double read = seconds_since(began);
    Figure figure;
    figure.name = std::string("index/") + name;
    figure.more = {{"samples", store.total()},
                   {"shards", shards},
                   {"open_s", opened},
                   {"ns_per_draw", 1e9 * drawn / kDraws},
                   {"us_per_read", 1e6 * read / kReads},
                   {"own_kib_open", own_open},
                   {"own_kib_read", status_kib("RssAnon:") - own},
                   {"mapped_kib_read", status_kib("RssFile:") - mapped},
                   {"sum", sum}};
    report(options, figure);
  }
}

}  // namespace opencloc::bench

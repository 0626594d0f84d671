#include "opencloc/data/shard/tar_index.h"

#include <chrono>

#include <gtest/gtest.h>

#include "opencloc/base/files.h"
#include "opencloc/base/rng.h"
#include "opencloc/data/remote/cache.h"
#include "opencloc/data/shard/shard_reader.h"
#include "opencloc/data/shard/shard_writer.h"
#include "tests/data/tar_maker.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::make_test_record;
using fixtures::TempFolder;
using namespace std::chrono_literals;

class TarIndexTest : public ::testing::Test {
 protected:
  TarIndexTest() { set_shard_cache({.folder = folder_ / "cache"}); }
  ~TarIndexTest() override { set_shard_cache({}); }

  // Its time is that of a file nobody has touched for a while.
  std::string shard(const std::string& name, int samples) {
    const fs::path path = folder_ / name;
    ShardWriter writer(path);
    for (int i = 0; i < samples; ++i)
      writer.write(make_test_record("key" + std::to_string(i), std::string(i % 700, 'x')));
    writer.commit();
    rest(path);
    return path.string();
  }
  static void rest(const fs::path& path) {
    fs::last_write_time(path, fs::file_time_type::clock::now() - 1min);
  }
  std::vector<std::string> keys(const std::string& path) {
    const ShardFile file(path, skips_);
    std::vector<std::string> found;
    for (int64_t i = 0; i < file.samples(); ++i) found.push_back(file.read(i).key);
    return found;
  }

  TempFolder folder_;
  SkipCounter skips_{0};
};

TEST_F(TarIndexTest, IsMadeOnceAndGivesTheSame) {
  const std::string path = shard("a.tar", 300);
  const auto expected = keys(path);
  ASSERT_EQ(expected.size(), 300U);
  ASSERT_TRUE(fs::exists(path + ".idx"));
  EXPECT_EQ(fs::file_size(path + ".idx"), 48U + 4 * 301);
  const auto made = fs::last_write_time(path + ".idx");
  EXPECT_EQ(keys(path), expected);
  EXPECT_EQ(fs::last_write_time(path + ".idx"), made);
  EXPECT_EQ(count_samples(path, skips_), 300);
  const ShardFile file(path, skips_);
  EXPECT_EQ(file.bytes(), fs::file_size(path) - 1024);  // all but the end of the archive
}

TEST_F(TarIndexTest, IsNotWrittenForFewSamplesOrAShardThatHasJustChanged) {
  const std::string few = shard("few.tar", TarIndex::kFewestKept - 1);
  keys(few);
  EXPECT_FALSE(fs::exists(few + ".idx"));
  const std::string fresh = shard("fresh.tar", 300);
  fs::last_write_time(fresh, fs::file_time_type::clock::now());
  keys(fresh);
  EXPECT_FALSE(fs::exists(fresh + ".idx"));
}

TEST_F(TarIndexTest, IsMadeAnewForAnotherShard) {
  const std::string path = shard("a.tar", 300);
  keys(path);
  shard("a.tar", 400);
  EXPECT_EQ(keys(path).size(), 400U);
  EXPECT_EQ(keys(path).size(), 400U);
  // The same size, other contents, another time.
  std::string bytes = read_file(path);
  for (const char* ending : {"ppm", "json"}) {
    const size_t at = bytes.find(std::string("key17.") + ending);
    bytes[at + 2] = 'x';  // one less than y, as is the header's checksum
    const auto sum = static_cast<unsigned>(std::stoul(bytes.substr(at + 148, 6), nullptr, 8)) - 1;
    char octal[8];
    std::snprintf(octal, sizeof octal, "%06o", sum);
    bytes.replace(at + 148, 6, octal, 6);
  }
  write_file(path, bytes);
  EXPECT_EQ(keys(path)[17], "kex17");
}

TEST_F(TarIndexTest, DamageIsSeenAndMended) {
  const std::string path = shard("a.tar", 260);
  const auto expected = keys(path);
  const std::string good = read_file(path + ".idx");
  Rng rng(4);
  for (int i = 0; i < 120; ++i) {
    std::string bad = good;
    switch (i % 4) {
      case 0:
        bad.resize(rng.below(bad.size()));
        break;
      case 1:
        bad += std::string(1 + rng.below(9), '\0');
        break;
      default:
        for (uint64_t flips = 1 + rng.below(3); flips > 0; --flips)
          bad[rng.below(bad.size())] ^= static_cast<char>(1U << rng.below(8));
    }
    write_file(path + ".idx", bad);
    ASSERT_EQ(keys(path), expected) << "damage " << i;
    ASSERT_EQ(read_file(path + ".idx"), good) << "damage " << i;
  }
}

// A right checksum over places that lead nowhere: each costs its sample, nothing more.
TEST_F(TarIndexTest, AForgedIndexCostsSamplesOnly) {
  const std::string path = shard("a.tar", 300);
  const auto expected = keys(path);
  TarIndex::Found found;
  for (uint32_t i = 0; i <= 300; ++i) found.starts.push_back(i * 7919 % 100'003);
  const int fd = open_for_reading(path);
  ASSERT_TRUE(TarIndex(std::move(found)).save(path + ".idx", stamp_of(fd)));
  ::close(fd);
  const ShardFile file(path, skips_, {.max_member_bytes = 1 << 20});
  ASSERT_EQ(file.samples(), 300);
  for (int64_t i = 0; i < 300; ++i) {
    try {
      file.read(i);
    } catch (const BadSample&) {
    }
  }
}

TEST_F(TarIndexTest, LiesInTheCacheWhereTheFolderCannotBeWritten) {
  const std::string path = shard("a.tar", 300);
  fs::create_directories(path + ".idx/in/the/way");
  const auto expected = keys(path);
  ASSERT_FALSE(fs::is_empty(folder_ / "cache" / "index"));
  EXPECT_EQ(keys(path), expected);
}

TEST_F(TarIndexTest, HoldsForCompressedAndCutShards) {
  std::vector<fixtures::TarEntry> entries;
  for (int i = 0; i < 300; ++i)
    entries.push_back({"k" + std::to_string(i) + ".ppm", fixtures::tiny_ppm(4, 4)});
  const std::string packed = (folder_ / "a.tar.gz").string();
  fixtures::write_tar(packed, entries, "ustar", "gzip");
  rest(packed);
  const auto expected = keys(packed);
  ASSERT_EQ(expected.size(), 300U);
  ASSERT_TRUE(fs::exists(packed + ".idx"));
  EXPECT_EQ(keys(packed), expected);
  EXPECT_EQ(count_samples(packed, skips_), 300);

  const std::string cut = shard("cut.tar", 300);
  fs::resize_file(cut, fs::file_size(cut) - 1024 - 512);
  rest(cut);
  for (int i = 0; i < 2; ++i) {
    const ShardFile file(cut, skips_);
    ASSERT_EQ(file.samples(), 300) << i;
    EXPECT_NO_THROW(file.read(298));
    EXPECT_THROW(file.read(299), BadSample);
    EXPECT_TRUE(fs::exists(cut + ".idx"));
  }
}

}  // namespace
}  // namespace opencloc

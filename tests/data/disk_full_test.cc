// A disk that fills up: an error that says so, and nothing half-written.
#include <cerrno>
#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include "opencloc/data/look/contact_sheet.h"
#include "opencloc/data/shard/shard_reader.h"
#include "opencloc/data/shard/shard_writer.h"
#include "tests/data/tar_maker.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class DiskFull : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directory(disk());
    if (::mount("tmpfs", disk().c_str(), "tmpfs", 0, "size=256k") != 0) {
      GTEST_SKIP() << "cannot mount a small tmpfs (" << std::strerror(errno) << "): needs root";
    }
    mounted_ = true;
  }
  void TearDown() override {
    if (mounted_) ::umount2(disk().c_str(), MNT_DETACH);
  }
  fs::path disk() const { return folder_ / "disk"; }
  static Record big(int i) {
    Record record = fixtures::make_test_record(std::to_string(i));
    record.image = fixtures::tiny_ppm(100, 100);  // 30 kB
    return record;
  }
  template <typename Write>
  void expect_full(const Write& write) {
    try {
      write();
      FAIL() << "the disk did not fill up";
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), 1);
      EXPECT_THAT(error.what(), HasSubstr("No space left"));
    }
  }
  fixtures::TempFolder folder_;
  bool mounted_ = false;
};

TEST_F(DiskFull, ShardWriter) {
  expect_full([&] {
    ShardWriter writer(disk() / "x.tar");
    for (int i = 0; i < 100; ++i) writer.write(big(i));
    writer.commit();
  });
  EXPECT_TRUE(fs::is_empty(disk()));
}

TEST_F(DiskFull, ShardSetWriter) {
  expect_full([&] {
    ShardSetWriter writer(disk() / "out", {.samples_per_shard = 3});
    for (int i = 0; i < 100; ++i) writer.write(big(i));
    writer.commit();
  });
  EXPECT_TRUE(fs::is_empty(disk()));
}

TEST_F(DiskFull, OldShardsStay) {
  {
    ShardSetWriter writer(disk() / "out", {});
    writer.write(big(0));
    writer.commit();
  }
  expect_full([&] {
    ShardSetWriter writer(disk() / "out", {.samples_per_shard = 3, .overwrite = true});
    for (int i = 1; i < 100; ++i) writer.write(big(i));
    writer.commit();
  });
  SkipCounter skips;
  ShardReader reader((disk() / "out" / "00000.tar").string(), skips);
  Record record;
  ASSERT_TRUE(reader.next(record));
  EXPECT_EQ(record.key, "0");
  EXPECT_EQ(std::distance(fs::directory_iterator(disk() / "out"), fs::directory_iterator()), 1);
}

TEST_F(DiskFull, UnpackingACompressedShard) {
  const std::string path = (folder_ / "x.tar.gz").string();
  {
    ShardWriter writer(path);
    for (int i = 0; i < 100; ++i) writer.write(big(i));
    writer.commit();
  }
  ::setenv("TMPDIR", disk().c_str(), 1);
  SkipCounter skips;
  // Not a bad shard: skip_bad_shards must not hide it.
  expect_full([&] { ShardFile(path, skips, {.skip_bad_shards = true}); });
  ::unsetenv("TMPDIR");
  EXPECT_TRUE(fs::is_empty(disk()));
}

TEST_F(DiskFull, ContactSheet) {
  const std::string path = (folder_ / "x.tar").string();
  {
    ShardWriter writer(path);
    for (int i = 0; i < 100; ++i) {
      Record record = big(i);
      record.caption = std::string(10'000, 'c');
      writer.write(record);
    }
    writer.commit();
  }
  SkipCounter skips;
  expect_full([&] { write_contact_sheet({path}, disk() / "page.html", {}, skips); });
  EXPECT_TRUE(fs::is_empty(disk()));
}

}  // namespace
}  // namespace opencloc

#include "opencloc/index/segment.h"

#include <algorithm>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/error.h"
#include "small_index.h"

namespace opencloc {
namespace {

using fixtures::kSmallWidth;
using fixtures::made_up_vector;
using ::testing::HasSubstr;

// Of unit length: more bits than are stored.
std::vector<float> vector_of(int64_t row) {
  return fixtures::unit(made_up_vector(static_cast<uint64_t>(row)));
}

class SegmentFile : public ::testing::Test {
 protected:
  // Pictures 1, 2, 3, ... of three rows each.
  uint32_t write(int rows) {
    SegmentRows gathered(kSmallWidth);
    for (int i = 0; i < rows; ++i) {
      gathered.add(static_cast<uint32_t>(i / 3 + 1), stored_box({0.1f, 0.2f, 0.3f, 0.4f}),
                   vector_of(i));
    }
    const SegmentColumns columns = gathered.columns();
    const SegmentRun run{&columns, 0, rows};
    return write_segment(path_, {&run, 1});
  }
  // What opening and verifying the bytes ends with; empty when nothing is wrong.
  std::string error_of_bytes(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary) << bytes;  // unlike write_file() not onto the disk
    try {
      Segment(path_).verify();
    } catch (const Error& error) {
      return error.what();
    }
    return {};
  }
  fixtures::TestFolder folder_;
  std::filesystem::path path_ = folder_ / "1.seg";
};

TEST_F(SegmentFile, ComesBackAsItWasWritten) {
  const uint32_t checksum = write(1000);
  const Segment segment(path_);
  segment.verify();
  EXPECT_EQ(segment.checksum(), checksum);
  const SegmentColumns& columns = segment.columns();
  ASSERT_EQ(columns.rows(), 1000);
  ASSERT_EQ(columns.width, kSmallWidth);
  for (const int64_t row : {0, 1, 500, 999}) {
    const auto vector = vector_of(row);
    const auto stored = columns.vector(row);
    for (size_t i = 0; i < vector.size(); ++i) {
      EXPECT_NEAR(stored[i], vector[i], 2e-5);
      const auto at = static_cast<size_t>(row * kernels::scan_stride(kSmallWidth)) + i;
      EXPECT_NEAR(static_cast<float>(columns.scan.values[at]) * columns.scan.scale[row], vector[i],
                  0.004);
    }
    const Box box = box_of(columns.box[row]);
    EXPECT_NEAR(box.x0, 0.1, 1e-5);
    EXPECT_NEAR(box.y1, 0.4, 1e-5);
    EXPECT_EQ(columns.image[row], row / 3 + 1);
  }
  EXPECT_EQ(columns.first_row(500), 498);
  EXPECT_EQ(columns.end_row(498), 501);
  EXPECT_EQ(columns.rows_of(167).begin, 498);
  EXPECT_EQ(columns.rows_of(167).end, 501);
  EXPECT_TRUE(columns.rows_of(9999).empty());
}

TEST_F(SegmentFile, RunsAreCopiedBitForBit) {
  write(900);
  const Segment source(path_);
  const SegmentRun runs[] = {{&source.columns(), 0, 300}, {&source.columns(), 600, 900}};
  write_segment(folder_ / "2.seg", runs);
  const Segment copy(folder_ / "2.seg");
  copy.verify();
  ASSERT_EQ(copy.columns().rows(), 600);
  for (const int64_t row : {0, 299, 300, 599}) {
    const int64_t from = row < 300 ? row : row + 300;
    EXPECT_EQ(copy.columns().vector(row), source.columns().vector(from));
    EXPECT_EQ(copy.columns().scan.scale[row], source.columns().scan.scale[from]);
    EXPECT_EQ(copy.columns().scan.sums[row], source.columns().scan.sums[from]);
    EXPECT_EQ(copy.columns().image[row], source.columns().image[from]);
  }
}

// As programs wrote them that knew half precision alone.
SegmentColumns in_half_precision(SegmentColumns columns, std::vector<uint16_t>& exact) {
  exact.clear();
  for (int64_t row = 0; row < columns.rows(); ++row) {
    for (const float x : columns.vector(row)) exact.push_back(kernels::round_to_fp16(x));
  }
  columns.scan.exact = exact.data();
  columns.scan.unit = nullptr;
  return columns;
}

TEST_F(SegmentFile, OlderVersionsAreReadAndCopiedAsTheyAre) {
  write(300);
  const Segment fresh(path_);
  std::vector<uint16_t> exact;
  const SegmentColumns old = in_half_precision(fresh.columns(), exact);
  const SegmentRun run{&old, 0, 300};
  write_segment(folder_ / "old.seg", {&run, 1});
  EXPECT_EQ(read_file(folder_ / "old.seg")[8], 1) << "which older programs read";
  EXPECT_EQ(read_file(path_)[8], 3);
  const Segment older(folder_ / "old.seg");
  older.verify();
  EXPECT_EQ(older.columns().scan.unit, nullptr);
  for (const int64_t row : {0, 150, 299}) EXPECT_EQ(older.columns().vector(row), old.vector(row));
  // One segment of both changes no bit of either.
  const SegmentRun runs[] = {{&older.columns(), 0, 150}, {&fresh.columns(), 150, 300}};
  write_segment(folder_ / "both.seg", runs);
  const Segment both(folder_ / "both.seg");
  both.verify();
  ASSERT_EQ(both.columns().rows(), 300);
  for (const int64_t row : {0, 149}) EXPECT_EQ(both.columns().vector(row), old.vector(row));
  for (const int64_t row : {150, 299})
    EXPECT_EQ(both.columns().vector(row), fresh.columns().vector(row));
}

TEST_F(SegmentFile, EveryDamagedByteIsFound) {
  write(12);
  const std::string sound = read_file(path_);
  ASSERT_EQ(error_of_bytes(sound), "");
  for (size_t i = 0; i < sound.size(); i += i < 64 ? 1 : 7) {
    std::string damaged = sound;
    damaged[i] = static_cast<char>(damaged[i] ^ 4);
    EXPECT_NE(error_of_bytes(damaged), "") << i;
  }
}

TEST_F(SegmentFile, OtherLengthsAreRefused) {
  write(12);
  const std::string sound = read_file(path_);
  for (const size_t size : {size_t{0}, size_t{7}, size_t{63}, size_t{64}, sound.size() - 1}) {
    EXPECT_THAT(error_of_bytes(sound.substr(0, size)), HasSubstr("not a sound segment")) << size;
  }
  EXPECT_THAT(error_of_bytes(sound + "x"), HasSubstr("bytes in place of"));
}

TEST_F(SegmentFile, ALaterBlockIsNamed) {
  write(9000);
  std::string bytes = read_file(path_);
  bytes[(1 << 20) + 5] = static_cast<char>(bytes[(1 << 20) + 5] ^ 1);
  EXPECT_THAT(error_of_bytes(bytes), HasSubstr("bytes 1048576 to "));
}

TEST(StoredBox, Clips) {
  EXPECT_EQ(stored_box({-1, -0.5f, 2, 1}), StoredBox{});
  EXPECT_EQ(box_of(StoredBox{}), (Box{0, 0, 1, 1}));
}

}  // namespace
}  // namespace opencloc

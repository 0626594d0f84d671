// Qualities of regions: stored, searched with, carried along.
#include "opencloc/index/quality.h"

#include <algorithm>
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/error.h"
#include "opencloc/index/segment_format.h"
#include "opencloc/index/transfer.h"
#include "opencloc/index/verify.h"
#include "small_index.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

using fixtures::error_of;
using fixtures::every_picture;
using fixtures::kSmallWidth;
using fixtures::made_up_picture;
using fixtures::made_up_vector;
using fixtures::SmallIndex;
using ::testing::HasSubstr;

float made_up_quality(int picture, size_t region) {
  return static_cast<float>((static_cast<size_t>(picture) * 37 + region * 11) % 100) / 100;
}

NewPicture rated_picture(int number) {
  NewPicture picture = made_up_picture(number);
  for (size_t i = 0; i < picture.regions.size(); ++i)
    picture.regions[i].quality = made_up_quality(number, i);
  return picture;
}

void add_rated(const std::filesystem::path& index, int begin, int end) {
  IndexWriter writer(index);
  for (int i = begin; i < end; ++i) writer.add(rated_picture(i));
  writer.commit();
}

TEST(StoredQuality, ComesBackAndFullQualityIsThePlainCosine) {
  for (const float quality : {0.0f, 0.25f, 0.5f, 0.999f, 1.0f})
    EXPECT_NEAR(quality_of(stored_quality(quality)), quality, 1e-5);
  EXPECT_EQ(stored_quality(2), kFullQuality);
  EXPECT_EQ(stored_quality(-1), 0);
  EXPECT_EQ(quality_offset(kFullQuality, 10), 0.0f);
  EXPECT_NEAR(quality_offset(stored_quality(0.5f), 10), std::log(0.5) / 10, 1e-5);
  EXPECT_EQ(quality_offset(0, 10), std::log(kLeastQuality) / 10);
  for (int stored = 700; stored < 65530; stored += 5) {
    EXPECT_LT(quality_offset(static_cast<uint16_t>(stored), 3),
              quality_offset(static_cast<uint16_t>(stored + 5), 3));
  }
}

class RatedSegment : public ::testing::Test {
 protected:
  // Pictures of two rows, the second of them a region. Version of the file.
  uint32_t write(const std::string& name, bool rated, uint16_t of_whole = kFullQuality) {
    SegmentRows gathered(kSmallWidth);
    for (uint32_t i = 0; i < 100; ++i) {
      gathered.add(i + 1, StoredBox{}, made_up_vector(i), i == 7 ? of_whole : kFullQuality);
      gathered.add(i + 1, stored_box({0.1f, 0.2f, 0.3f, 0.4f}), made_up_vector(1000 + i),
                   rated ? static_cast<uint16_t>(100 * i) : kFullQuality);
    }
    const SegmentColumns columns = gathered.columns();
    const SegmentRun run{&columns, 0, columns.rows()};
    write_segment(folder_ / name, {&run, 1});
    return version(name);
  }
  uint32_t version(const std::string& name) {
    const std::string bytes = read_file(folder_ / name);
    const auto* begin = reinterpret_cast<const std::byte*>(bytes.data());
    return segment_format::read_header({begin, bytes.size()}, "test").version;
  }
  fixtures::TestFolder folder_;
};

TEST_F(RatedSegment, HasTheColumnOnlyWhereThereAreQualities) {
  EXPECT_EQ(write("plain.seg", false), 3u);
  EXPECT_EQ(Segment(folder_ / "plain.seg").columns().quality, nullptr);
  EXPECT_EQ(write("rated.seg", true), 4u);
  const Segment rated(folder_ / "rated.seg");
  rated.verify();
  ASSERT_NE(rated.columns().quality, nullptr);
  for (int64_t row = 0; row < 200; ++row) {
    const auto wanted = row % 2 == 0 ? kFullQuality : static_cast<uint16_t>(100 * (row / 2));
    EXPECT_EQ(rated.columns().quality[row], wanted) << row;
  }
  EXPECT_EQ(rated.bytes() - Segment(folder_ / "plain.seg").bytes(),
            segment_format::aligned(200 * sizeof(uint16_t)));
}

TEST_F(RatedSegment, RunsWithAndWithoutAreJoined) {
  write("plain.seg", false);
  write("rated.seg", true);
  const Segment plain(folder_ / "plain.seg"), rated(folder_ / "rated.seg");
  const SegmentRun runs[] = {{&rated.columns(), 2, 6}, {&plain.columns(), 100, 104}};
  write_segment(folder_ / "both.seg", runs);
  const Segment both(folder_ / "both.seg");
  both.verify();
  const auto* quality = both.columns().quality;
  ASSERT_NE(quality, nullptr);
  EXPECT_THAT(std::vector<int>(quality, quality + 8),
              ::testing::ElementsAre(65535, 100, 65535, 200, 65535, 65535, 65535, 65535));
}

TEST_F(RatedSegment, EveryDamagedByteAndOtherLengthIsFound) {
  write("rated.seg", true);
  const std::string sound = read_file(folder_ / "rated.seg");
  const auto error_of_bytes = [&](const std::string& bytes) {
    write_file(folder_ / "damaged.seg", bytes);
    return error_of([&] { Segment(folder_ / "damaged.seg").verify(); });
  };
  const size_t column =
      sound.size() - 4 - segment_format::aligned(400) - segment_format::aligned(800);
  for (size_t i = column; i < sound.size(); i += 23) {
    std::string damaged = sound;
    damaged[i] = static_cast<char>(damaged[i] ^ 4);
    EXPECT_THAT(error_of_bytes(damaged), HasSubstr("damaged")) << i;
  }
  EXPECT_THAT(error_of_bytes(sound.substr(0, column)), HasSubstr("bytes in place of"));
  EXPECT_THAT(error_of_bytes(sound + "x"), HasSubstr("bytes in place of"));
  std::string version_5 = sound;
  version_5[8] = 5;
  EXPECT_THAT(error_of_bytes(version_5), HasSubstr("version 5, this program knows 1 to 4"));
}

TEST_F(RatedSegment, AWholePictureHasNoQuality) {
  write("wrong.seg", true, 500);
  EXPECT_THAT(error_of([&] { Segment(folder_ / "wrong.seg").verify(); }),
              HasSubstr("row 14 has a whole picture with a quality"));
}

std::vector<std::vector<float>> some_queries() {
  std::vector<std::vector<float>> queries;
  for (uint64_t q = 0; q < 40; ++q) queries.push_back(made_up_vector(77'000 + q));
  return queries;
}

TEST(QualitySearch, FindsWhatABruteForceSearchFinds) {
  const SmallIndex small;
  add_rated(small.path(), 0, 150);
  small.add(150, 200);  // of vectors without qualities: plain cosines
  add_rated(small.path(), 200, 400);
  const IndexReader index(small.path());
  EXPECT_TRUE(index.has_quality());
  const auto queries = some_queries();
  for (const bool use : {false, true}) {
    const auto added = [use](int64_t picture, int64_t region) {
      if (!use || (picture > 150 && picture <= 200)) return 0.0f;
      const auto number = static_cast<int>(picture) - 1;
      const auto stored = stored_quality(made_up_quality(number, static_cast<size_t>(region - 1)));
      return quality_offset(stored, fixtures::kSmallScale);
    };
    for (const auto unit : {SearchUnit::kPicture, SearchUnit::kRegion, SearchUnit::kBoth}) {
      const auto results =
          search(index, queries, {.unit = unit, .quality = use, .k = 12, .fold = false});
      for (size_t q = 0; q < queries.size(); ++q) {
        const auto best = every_picture(index, queries[q], unit, 400, added);
        ASSERT_EQ(results[q].hits.size(), 12u);
        for (size_t i = 0; i < 12; ++i) {
          EXPECT_EQ(results[q].hits[i].picture, best[i].second) << q << " " << i;
          EXPECT_EQ(results[q].hits[i].best.score, best[i].first);
        }
      }
    }
  }
}

TEST(QualitySearch, ALooseBoxDoesNotWinByBeingVague) {
  const SmallIndex small;
  const auto query = made_up_vector(1);
  const auto mixed = [&](float share, uint64_t seed) {
    auto other = made_up_vector(seed);
    for (size_t i = 0; i < other.size(); ++i) other[i] = share * query[i] + (1 - share) * other[i];
    return fixtures::unit(other);
  };
  {
    IndexWriter writer(small.path());
    NewPicture vague = made_up_picture(0), sharp = made_up_picture(4);
    vague.regions = {{{0, 0, 1, 1}, "", mixed(0.7f, 5), 0.1f}};
    sharp.regions = {{{0.2f, 0.2f, 0.4f, 0.4f}, "", mixed(0.6f, 6), 0.9f}};
    writer.add(vague);
    writer.add(sharp);
    writer.commit();
  }
  const IndexReader index(small.path());
  const auto on = search(index, {&query, 1}, {}).front();
  ASSERT_EQ(on.hits.size(), 2u);
  EXPECT_EQ(on.hits[0].picture, 2);
  EXPECT_NEAR(*on.hits[0].best.quality, 0.9, 1e-4);
  const float offset = quality_offset(stored_quality(0.9f), fixtures::kSmallScale);
  EXPECT_NEAR(on.hits[0].best.score, on.hits[0].best.cosine + static_cast<double>(offset), 1e-6);
  const auto off = search(index, {&query, 1}, {.quality = false}).front();
  EXPECT_EQ(off.hits[0].picture, 1);
  EXPECT_EQ(off.hits[0].best.score, off.hits[0].best.cosine);
  EXPECT_NEAR(*off.hits[0].best.quality, 0.1, 1e-4) << "it is told all the same";
  const auto whole = search(index, {&query, 1}, {.unit = SearchUnit::kPicture}).front();
  EXPECT_EQ(whole.hits[0].best.score, whole.hits[0].best.cosine);
  EXPECT_FALSE(whole.hits[0].best.quality);
}

TEST(QualitySearch, LimitsAreOfTheScores) {
  const SmallIndex small;
  add_rated(small.path(), 0, 100);
  const IndexReader index(small.path());
  const auto query = made_up_vector(5);
  const auto all = search(index, {&query, 1}, {}).front();
  const auto some = search(index, {&query, 1}, {.min_score = all.hits[4].best.score}).front();
  ASSERT_EQ(some.hits.size(), 5u);
  EXPECT_EQ(some.below, 5);
  for (const Hit& hit : some.hits) {
    EXPECT_NEAR(hit.best.z, (hit.best.score - some.median) / some.deviation, 1e-9);
    for (const RegionHit& more : hit.more) EXPECT_GE(more.score, all.hits[4].best.score);
  }
}

// Everything of the hits but the numbers of the pictures.
std::vector<std::string> shown(IndexReader& index) {
  std::vector<std::string> lines;
  for (const auto& result : search(index, some_queries(), {.k = 20})) {
    for (const Hit& hit : result.hits) {
      const int64_t id = hit.picture;
      const auto entry = index.catalog().pictures({&id, 1}).at(0);
      std::string line = entry.names.at(0).name;
      for (const double x : {hit.best.score, hit.best.cosine, hit.best.quality.value_or(-1)}) {
        char hex[64];
        std::snprintf(hex, sizeof hex, " %a", x);
        line += hex;
      }
      lines.push_back(line);
    }
  }
  return lines;
}

TEST(QualitySearch, AddingRemovingCompactingAndExportingEqualARebuild) {
  const SmallIndex changed("changed"), rebuilt("rebuilt");
  add_rated(changed.path(), 0, 120);
  add_rated(changed.path(), 120, 300);
  {
    IndexWriter writer(changed.path());
    std::vector<int64_t> ids;
    for (int64_t id = 1; id <= 300; id += 3) ids.push_back(id);
    writer.remove(ids);
  }
  {
    IndexWriter writer(rebuilt.path());
    for (int i = 0; i < 300; ++i) {
      if (i % 3 != 0) writer.add(rated_picture(i));
    }
    writer.commit();
  }
  IndexReader fresh(rebuilt.path());
  const auto wanted = shown(fresh);
  {
    IndexReader index(changed.path());
    EXPECT_EQ(shown(index), wanted);
  }
  IndexWriter(changed.path()).compact();
  EXPECT_TRUE(verify_index(changed.path()).faults.empty());
  IndexReader compacted(changed.path());
  EXPECT_EQ(shown(compacted), wanted);
  const fixtures::TestFolder folder;
  export_npy(compacted, folder / "out");
  import_vectors(folder / "out", folder / "imported", {});
  IndexReader imported(folder / "imported");
  EXPECT_EQ(shown(imported), wanted);
  // What is no quality is refused with its line.
  std::string rows = read_file(folder / "out/rows.jsonl");
  const size_t at = rows.find("\"quality\":");
  ASSERT_NE(at, rows.npos);
  rows.replace(at, 11, "\"quality\": 7");
  write_file(folder / "out/rows.jsonl", rows);
  EXPECT_THAT(error_of([&] { import_vectors(folder / "out", folder / "again", {}); }),
              HasSubstr("'quality'"));
}

TEST(QualitySearch, NumbersThatAreNoneAreRefused) {
  const SmallIndex small;
  IndexWriter writer(small.path());
  NewPicture picture = rated_picture(3);
  picture.regions[1].quality = std::nanf("");
  EXPECT_THAT(error_of([&] { writer.add(picture); }), HasSubstr("qualities that are not finite"));
}

}  // namespace
}  // namespace opencloc

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/error.h"
#include "opencloc/index/npy.h"
#include "opencloc/index/transfer.h"
#include "opencloc/index/verify.h"
#include "small_index.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::error_of;
using fixtures::kSmallWidth;
using fixtures::made_up_picture;
using fixtures::made_up_vector;
using fixtures::SmallIndex;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Everything a search says, with names in place of numbers that a rebuilt index may give otherwise.
std::vector<std::string> described(const fs::path& path, SearchUnit unit) {
  IndexReader index(path);
  std::vector<std::vector<float>> queries;
  for (uint64_t i = 0; i < 5; ++i) queries.push_back(made_up_vector(9000 + i));
  std::vector<std::string> lines;
  for (const auto& result : search(index, queries, {.unit = unit, .k = 30})) {
    char text[200];
    std::snprintf(text, sizeof text, "%a %a %ld", result.median, result.deviation,
                  static_cast<long>(result.scanned));
    lines.emplace_back(text);
    for (const Hit& hit : result.hits) {
      const int64_t id[] = {hit.picture};
      std::snprintf(text, sizeof text, " %ld %a %a %zu", static_cast<long>(hit.best.region),
                    hit.best.score, hit.best.z, hit.more.size());
      lines.push_back(index.catalog().pictures(id).at(0).names.at(0).name + text);
    }
  }
  return lines;
}

TEST(Index, WhatIsAddedIsThere) {
  const SmallIndex small;
  small.add(0, 10);
  small.add(10, 23);
  IndexReader index(small.path());
  EXPECT_EQ(index.segments(), 2u);
  const CatalogCounts counts = index.catalog().counts();
  EXPECT_EQ(counts.pictures, 23);
  EXPECT_EQ(counts.names, 23);
  EXPECT_EQ(index.searched(SearchUnit::kPicture), 23);
  EXPECT_EQ(index.searched(SearchUnit::kBoth), counts.rows);
  EXPECT_EQ(index.searched(SearchUnit::kRegion), counts.rows - 23);
  const int64_t ids[] = {8, 99, 2};
  const auto entries = index.catalog().pictures(ids);
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].picture.id, 8);
  EXPECT_EQ(entries[0].names.at(0).name, "picture7.jpg");
  EXPECT_EQ(entries[0].picture.rows, 4);
  EXPECT_EQ(entries[0].texts.at(0).text, "region of 7");
  EXPECT_EQ(entries[1].picture.caption, "");
  EXPECT_THAT(verify_index(small.path()).faults, IsEmpty());
  EXPECT_LE(index.hot_bytes(), counts.rows * (kernels::scan_stride(kSmallWidth) + 9));
}

TEST(Index, AddingAndRemovingEqualsARebuildBitForBit) {
  const SmallIndex changed("changed"), rebuilt("rebuilt");
  changed.add(0, 40);
  changed.add(100, 140);
  {
    IndexWriter writer(changed.path());
    std::vector<std::string> names;
    for (int i = 10; i < 30; ++i) names.push_back("picture" + std::to_string(i) + ".jpg");
    EXPECT_EQ(writer.remove_names(names), 20);
  }
  changed.add(40, 60);
  {
    IndexWriter writer(rebuilt.path());
    for (int i = 0; i < 140; ++i) {
      const bool there = i < 10 || (i >= 30 && i < 40) || i >= 100;
      if (there) writer.add(made_up_picture(i));
    }
    for (int i = 40; i < 60; ++i) writer.add(made_up_picture(i));
    writer.commit();
  }
  for (const auto unit : {SearchUnit::kPicture, SearchUnit::kRegion, SearchUnit::kBoth}) {
    const auto expected = described(rebuilt.path(), unit);
    EXPECT_EQ(described(changed.path(), unit), expected);
    EXPECT_GT(expected.size(), 5u * 25);
  }
  Compaction done;
  {
    IndexWriter writer(changed.path());
    done = writer.compact();
  }
  EXPECT_EQ(done.segments, 3);
  EXPECT_EQ(done.dropped, 50);
  EXPECT_EQ(changed.files().size(), 1u);
  EXPECT_THAT(verify_index(changed.path()).faults, IsEmpty());
  for (const auto unit : {SearchUnit::kPicture, SearchUnit::kRegion, SearchUnit::kBoth})
    EXPECT_EQ(described(changed.path(), unit), described(rebuilt.path(), unit));
}

TEST(Index, ReadersSeeCommittedChangesAndNothingElse) {
  const SmallIndex small;
  small.add(0, 5);
  IndexReader index(small.path());
  EXPECT_FALSE(index.refresh());
  IndexWriter writer(small.path());
  writer.add(made_up_picture(5));
  EXPECT_FALSE(index.refresh());
  writer.commit();
  EXPECT_TRUE(index.refresh());
  EXPECT_EQ(index.searched(SearchUnit::kPicture), 6);
  const int64_t ids[] = {2, 77};
  EXPECT_EQ(writer.remove(ids), 1);
  EXPECT_TRUE(index.find(2).has_value());
  EXPECT_TRUE(index.refresh());
  EXPECT_FALSE(index.find(2).has_value());
  EXPECT_EQ(index.searched(SearchUnit::kPicture), 5);
  const auto before = index.columns(0).vector(0);
  writer.compact();
  EXPECT_EQ(index.columns(0).vector(0), before);  // mapped still, though the file is gone
  EXPECT_TRUE(index.refresh());
  EXPECT_EQ(index.segments(), 1u);
  EXPECT_EQ(index.columns(0).vector(0), before);
  EXPECT_FALSE(index.refresh());
}

TEST(Index, TheSameContentIsAnAlias) {
  const SmallIndex small;
  IndexWriter writer(small.path());
  const NewPicture picture = made_up_picture(1);
  EXPECT_FALSE(writer.has(picture.digest));
  writer.add(picture);
  EXPECT_TRUE(writer.has(picture.digest));
  writer.add_name({.name = "copy.jpg"}, picture.digest);
  writer.commit();
  writer.add_name({.name = "copy2.jpg"}, picture.digest);
  writer.add_name({.name = "copy2.jpg"}, picture.digest);
  writer.commit();
  EXPECT_EQ(writer.catalog().counts().pictures, 1);
  const int64_t one[] = {1};
  EXPECT_EQ(writer.catalog().pictures(one)[0].names.size(), 3u);
  const std::vector<std::string> two = {"picture1.jpg", "copy.jpg", "nothing.jpg"};
  EXPECT_EQ(writer.remove_names(two), 0);
  EXPECT_EQ(writer.catalog().counts().pictures, 1);
  const std::vector<std::string> last = {"copy2.jpg"};
  EXPECT_EQ(writer.remove_names(last), 1);
  EXPECT_EQ(writer.catalog().counts().pictures, 0);
  EXPECT_FALSE(writer.has(picture.digest));
  writer.add(picture);  // again, under a new number
  writer.commit();
  EXPECT_EQ(*writer.catalog().picture_of_digest(picture.digest), 2);
  EXPECT_THAT(verify_index(small.path()).faults, IsEmpty());
}

TEST(Index, ANameThatMovesTakesItsOldPictureAway) {
  const SmallIndex small;
  small.add(0, 2);
  IndexWriter writer(small.path());
  NewPicture other = made_up_picture(7);
  other.name.name = "picture1.jpg";
  writer.add(other);
  writer.commit();
  const CatalogCounts counts = writer.catalog().counts();
  EXPECT_EQ(counts.pictures, 2);
  EXPECT_EQ(counts.removed, 1);
  EXPECT_EQ(writer.catalog().find_name("picture1.jpg")->picture, 3);
  EXPECT_THAT(verify_index(small.path()).faults, IsEmpty());
}

TEST(Index, RemovingEverythingLeavesAnEmptyIndex) {
  const SmallIndex small;
  small.add(0, 3);
  {
    IndexWriter writer(small.path());
    const int64_t ids[] = {1, 2, 3};
    EXPECT_EQ(writer.remove(ids), 3);
    writer.compact();
  }
  IndexReader index(small.path());
  EXPECT_EQ(index.segments(), 0u);
  const std::vector<float> query = made_up_vector(1);
  EXPECT_TRUE(search(index, {&query, 1}, {}).front().hits.empty());
  EXPECT_THAT(small.files(), IsEmpty());
  small.add(3, 4);
  EXPECT_TRUE(index.refresh());
  EXPECT_EQ(index.columns(0).image[0], 4u);  // numbers are not used twice
}

TEST(Index, OneWriterAtATime) {
  const SmallIndex small;
  const IndexWriter writer(small.path());
  EXPECT_THAT(error_of([&] { IndexWriter second(small.path()); }),
              HasSubstr("another process is writing here"));
}

TEST(Index, AKilledWritersFilesAreCleared) {
  const SmallIndex small;
  small.add(0, 3);
  write_file(segment_path(small.path(), 2), "half");
  IndexReader index(small.path());
  EXPECT_EQ(index.segments(), 1u);
  auto found = verify_index(small.path());
  EXPECT_THAT(found.faults, IsEmpty());
  EXPECT_THAT(found.debris, ElementsAre(HasSubstr("00000002.seg")));
  small.add(3, 6);
  found = verify_index(small.path());
  EXPECT_THAT(found.faults, IsEmpty());
  EXPECT_THAT(found.debris, IsEmpty());
  EXPECT_TRUE(index.refresh());
  EXPECT_EQ(index.searched(SearchUnit::kPicture), 6);
}

TEST(Index, DamageIsFoundAndNamed) {
  const SmallIndex small;
  small.add(0, 3);
  const fs::path file = small.files().at(0);
  std::string bytes = read_file(file);
  bytes[200] = static_cast<char>(bytes[200] ^ 1);
  write_file(file, bytes);
  EXPECT_THAT(verify_index(small.path()).faults, ElementsAre(HasSubstr("are damaged")));
  {
    IndexWriter writer(small.path());
    writer.add(made_up_picture(9));
    EXPECT_THAT(error_of([&] { writer.compact(); }), HasSubstr("are damaged"));
  }
  fs::remove(file);
  EXPECT_THAT(verify_index(small.path()).faults.at(0), HasSubstr("00000001.seg"));
  EXPECT_THAT(error_of([&] { IndexReader index(small.path()); }), HasSubstr("00000001.seg"));
}

TEST(Index, AnotherIndexesSegmentIsFound) {
  const SmallIndex small, other("other");
  small.add(0, 3);
  other.add(10, 13);
  fs::copy_file(other.files().at(0), small.files().at(0), fs::copy_options::overwrite_existing);
  EXPECT_FALSE(verify_index(small.path()).faults.empty());
}

TEST(Index, WhatIsNoIndexIsRefused) {
  const fixtures::TestFolder folder;
  EXPECT_THAT(error_of([&] { IndexReader index(folder / "none"); }), HasSubstr("no index here"));
  write_file(folder / "full/file", "x");
  EXPECT_THAT(error_of([&] { index_exists(folder / "full"); }), HasSubstr("something else"));
  EXPECT_FALSE(index_exists(folder / "none"));
  const SmallIndex small;
  EXPECT_TRUE(index_exists(small.path()));
  write_file(catalog_path(small.path()), std::string(5000, 'x'));
  EXPECT_THAT(error_of([&] { IndexReader index(small.path()); }), HasSubstr("not a sound catalog"));
}

TEST(Index, VectorsOfAnotherWidthOrWithoutANumberAreRefused) {
  const SmallIndex small;
  IndexWriter writer(small.path());
  NewPicture picture = made_up_picture(3);
  picture.vector.pop_back();
  EXPECT_THAT(error_of([&] { writer.add(picture); }), HasSubstr("a vector of 47 numbers"));
  picture = made_up_picture(3);
  picture.regions[1].vector[5] = std::nanf("");
  EXPECT_THAT(error_of([&] { writer.add(picture); }), HasSubstr("not finite"));
  EXPECT_EQ(writer.pending(), 0);
}

TEST(NpyWriter, RefusesARowOfAnotherWidth) {
  const fixtures::TestFolder folder;
  NpyWriter rows(folder / "rows.npy", 2, kSmallWidth);
  rows.add(made_up_vector(1));
  const std::vector<float> longer(kSmallWidth + 1, 0.F);
  EXPECT_THAT(error_of([&] { rows.add(longer); }, 1), HasSubstr("vector 1 has"));
}

TEST(Index, ImportedAgainWithOtherContentsIsAnotherPicture) {
  const fixtures::TestFolder folder;
  const auto import_rows = [&](std::vector<uint64_t> seeds) {
    fs::create_directories(folder / "in");
    NpyWriter rows(folder / "in/rows.npy", static_cast<int64_t>(seeds.size()), kSmallWidth);
    for (const uint64_t seed : seeds) rows.add(made_up_vector(seed));
    rows.commit();
    return import_vectors(folder / "in", folder / "index", {});
  };
  EXPECT_EQ(import_rows({1, 2, 2}).pictures, 3) << "equal rows of other names are pictures, too";
  EXPECT_EQ(import_rows({1, 2, 2}).aliases, 3) << "known already";
  const Imported changed = import_rows({1, 7, 2});
  EXPECT_EQ(changed.pictures, 1);
  EXPECT_EQ(changed.aliases, 2);
  IndexReader index(folder / "index");
  EXPECT_EQ(index.searched(SearchUnit::kPicture), 3) << "the old row has gone with its name";
  const auto query = made_up_vector(7);
  const auto hit = search(index, {&query, 1}, {.unit = SearchUnit::kPicture}).front().hits.at(0);
  EXPECT_NEAR(hit.best.score, 1, 0.01);
  const auto entry = index.catalog().pictures({&hit.picture, 1}).at(0);
  EXPECT_THAT(entry.names.at(0).name, HasSubstr("rows.npy#1"));
}

TEST(Index, CanBeReadWhereNothingCanBeWritten) {
  const SmallIndex small;
  small.add(0, 3);
  fs::permissions(small.path(), fs::perms::owner_read | fs::perms::owner_exec);
  fs::permissions(catalog_path(small.path()), fs::perms::owner_read);
  {
    IndexReader index(small.path());
    EXPECT_EQ(index.searched(SearchUnit::kPicture), 3);
  }
  fs::permissions(small.path(), fs::perms::owner_all);
}

}  // namespace
}  // namespace opencloc

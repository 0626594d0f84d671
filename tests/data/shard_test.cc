#include <fstream>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "opencloc/base/files.h"
#include "opencloc/base/temporary.h"
#include "opencloc/data/shard/shard_reader.h"
#include "opencloc/data/shard/shard_writer.h"
#include "tests/data/tar_maker.h"

namespace opencloc {
namespace {

using fixtures::make_test_record;
using fixtures::raw_header;
using fixtures::TarEntry;
using fixtures::TempFolder;
using fixtures::tiny_ppm;
using fixtures::write_tar;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

std::vector<std::string> keys_in(const std::string& path, SkipCounter& skips,
                                 ShardOptions options = {}) {
  ShardReader reader(path, skips, options);
  std::vector<std::string> keys;
  Record record;
  while (reader.next(record)) keys.push_back(record.key);
  return keys;
}

std::vector<TarEntry> three_samples() {
  return {
      {"a/1.ppm", tiny_ppm(2, 2)},   {"a/1.txt", "one\n"},       {"a/1.json", R"({"label":"x"})"},
      {"a/2.json", R"({"n":2})"},    {"a/2.cls", "17"},          {"a/2.ppm", tiny_ppm(3, 2)},
      {"README", "belongs to none"}, {"b/2.PPM", tiny_ppm(4, 2)}};
}

class EveryFormat : public ::testing::TestWithParam<std::tuple<const char*, const char*>> {};

TEST_P(EveryFormat, ReadsSamplesInOrderAndByNumber) {
  const auto [format, filter] = GetParam();
  const TempFolder folder;
  const std::string path = (folder / "x.tar").string();
  auto entries = three_samples();
  // Names that need gnu's or pax's long-name headers (ustar's prefix field holds 155).
  const std::string deep = std::string(120, 'd') + "/" + std::string(90, 'e');
  entries.push_back({deep + ".ppm", tiny_ppm(5, 2)});
  entries.push_back({deep + ".json", R"({"caption":"deep"})"});
  entries.push_back({"last.ppm", tiny_ppm(6, 2)});
  write_tar(path, entries, format, filter);

  SkipCounter skips;
  EXPECT_THAT(keys_in(path, skips), ElementsAre("a/1", "a/2", "b/2", deep, "last"));
  EXPECT_EQ(count_samples(path, skips), 5);

  const ShardFile file(path, skips, {.keep_other_members = true});
  ASSERT_EQ(file.samples(), 5);
  const Record deep_one = file.read(3);
  EXPECT_EQ(deep_one.key, deep);
  EXPECT_EQ(deep_one.caption, "deep");
  EXPECT_EQ(deep_one.image, tiny_ppm(5, 2));
  EXPECT_EQ(file.read(4).image, tiny_ppm(6, 2));
  const Record first = file.read(0);
  EXPECT_EQ(first.alt_text, "one");
  EXPECT_EQ(first.label, "x");
  EXPECT_EQ(first.extension, "ppm");
  const Record second = file.read(1);
  ASSERT_EQ(second.others.size(), 1u);
  EXPECT_EQ(second.others[0].extension, "cls");
  EXPECT_EQ(second.others[0].bytes, "17");
  EXPECT_EQ(second.extra["n"], 2);
  EXPECT_EQ(skips.total(), 0);
}

INSTANTIATE_TEST_SUITE_P(Tar, EveryFormat,
                         ::testing::Combine(::testing::Values("ustar", "gnutar", "pax"),
                                            ::testing::Values("none", "gzip", "zstd")));

TEST(ShardReader, PositionCountsBrokenSamplesAndSkipPassesThem) {
  const TempFolder folder;
  const std::string path = (folder / "x.tar").string();
  write_tar(path, {{"1.ppm", tiny_ppm(2, 2)},
                   {"2.ppm", tiny_ppm(2, 2)},
                   {"2.json", "{broken"},
                   {"3.ppm", tiny_ppm(2, 2)},
                   {"4.json", "{}"},
                   {"5.ppm", tiny_ppm(2, 2)}});
  SkipCounter skips;
  ShardReader reader(path, skips);
  Record record;
  ASSERT_TRUE(reader.next(record));
  EXPECT_EQ(reader.position(), 1);
  ASSERT_TRUE(reader.next(record));
  EXPECT_EQ(record.key, "3");
  EXPECT_EQ(reader.name(), path + "#3");
  EXPECT_EQ(reader.position(), 3);
  ASSERT_TRUE(reader.next(record));
  EXPECT_EQ(record.key, "5");
  EXPECT_EQ(reader.position(), 5);
  EXPECT_FALSE(reader.next(record));
  EXPECT_EQ(skips.count(skip::kBadJson), 1);
  EXPECT_EQ(skips.count(skip::kNoImage), 1);

  ShardReader again(path, skips);
  again.skip(3);
  EXPECT_EQ(again.position(), 3);
  ASSERT_TRUE(again.next(record));
  EXPECT_EQ(record.key, "5");
  again.skip(10);
  EXPECT_FALSE(again.next(record));
  EXPECT_EQ(count_samples(path, skips), 5);
}

TEST(ShardReader, RepeatedNamesAreSeparateSamples) {
  const TempFolder folder;
  const std::string path = (folder / "x.tar").string();
  write_tar(path, {{"1.ppm", tiny_ppm(2, 2)}, {"1.json", "{}"}, {"1.ppm", tiny_ppm(3, 2)}});
  SkipCounter skips;
  EXPECT_THAT(keys_in(path, skips), ElementsAre("1", "1"));
}

TEST(ShardReader, HostileMembersNeitherHarmNorStop) {
  const TempFolder folder;
  const std::string path = (folder / "x.tar").string();
  write_tar(path, {{"/etc/cron.ppm", tiny_ppm(2, 2)},
                   {"../../up.ppm", tiny_ppm(2, 2)},
                   {"dir.x", "", TarEntry::Kind::kFolder},
                   {"link.ppm", "/etc/passwd", TarEntry::Kind::kSymlink},
                   {"hard.ppm", "/etc/passwd", TarEntry::Kind::kHardlink},
                   {"big.ppm", std::string(5000, 'x')},
                   {"good.ppm", tiny_ppm(2, 2)}});
  SkipCounter skips;
  const ShardOptions options{.max_member_bytes = 4000};
  EXPECT_THAT(keys_in(path, skips, options), ElementsAre("etc/cron", "up", "good"));
  EXPECT_EQ(skips.count(skip::kNotPlain), 2);
  EXPECT_EQ(skips.count(skip::kTooLarge), 1);
  const ShardFile file(path, skips, options);
  ASSERT_EQ(file.samples(), 6);
  EXPECT_THROW(file.read(2), BadSample);
  EXPECT_THROW(file.read(4), BadSample);
  EXPECT_EQ(file.read(5).key, "good");
}

TEST(ShardReader, SparseMembersAreRefused) {
  const TempFolder folder;
  const std::string path = (folder / "x.tar").string();
  write_tar(
      path,
      {{"hole.ppm", std::string(512, 'x'), TarEntry::Kind::kSparse}, {"good.ppm", tiny_ppm(2, 2)}},
      "pax");
  ASSERT_LT(std::filesystem::file_size(path), 100'000u) << "the fixture is not sparse";
  SkipCounter skips;
  EXPECT_THAT(keys_in(path, skips), ElementsAre("good"));
  EXPECT_EQ(skips.total(), 1);
}

TEST(ShardReader, AHugeSizeInAHeaderCostsNoMemory) {
  const TempFolder folder;
  const std::string path = (folder / "x.tar").string();
  write_file(path, raw_header("1.ppm", 12) + tiny_ppm(1, 1).substr(0, 12) + std::string(500, '\0') +
                       raw_header("2.ppm", (uint64_t{1} << 33) - 1) + "few bytes");
  SkipCounter skips;
  EXPECT_THAT(keys_in(path, skips), ElementsAre("1"));
  EXPECT_EQ(skips.total(), 1);
  const ShardFile file(path, skips);
  ASSERT_EQ(file.samples(), 2);
  EXPECT_THROW(file.read(1), BadSample);
}

class CutShort : public ::testing::TestWithParam<const char*> {};

// A compressed shard gives nothing before its first block of 128 KiB: it "cannot be opened" then.
TEST_P(CutShort, AnywhereKeepsWhatCameBefore) {
  const bool plain = std::string(GetParam()) == "none";
  const int side = plain ? 20 : 250;
  const TempFolder folder;
  const std::string whole = (folder / "whole.tar").string();
  std::mt19937 noise(5);  // so that compression cannot fold the samples away
  std::vector<TarEntry> entries;
  for (int i = 0; i < 6; ++i) {
    std::string picture = tiny_ppm(side, side);
    for (char& c : picture) c = static_cast<char>(noise());
    entries.push_back({std::to_string(i) + ".ppm", picture});
    entries.push_back({std::to_string(i) + ".json", R"({"i":1})"});
  }
  write_tar(whole, entries, "ustar", GetParam());
  const std::string bytes = read_file(whole);
  const std::string cut = (folder / "cut.tar").string();
  size_t most = 0;
  for (size_t size = bytes.size() / 4; size < bytes.size(); size += bytes.size() / 40 + 31) {
    write_file(cut, std::string_view(bytes).substr(0, size));
    SkipCounter skips(0);
    const auto keys = keys_in(cut, skips);
    ASSERT_LE(keys.size(), 6u);
    for (size_t i = 0; i < keys.size(); ++i) EXPECT_EQ(keys[i], std::to_string(i));
    EXPECT_LE(skips.total(), 1) << "cut at " << size;
    most = std::max(most, keys.size());
    // By number: the same good samples, and BadSample for the broken one.
    const ShardFile file(cut, skips);
    ASSERT_GE(file.samples(), static_cast<int64_t>(keys.size()));
    ASSERT_LE(file.samples(), static_cast<int64_t>(keys.size()) + 1);
    for (int64_t i = 0; i < file.samples(); ++i) {
      if (i < static_cast<int64_t>(keys.size())) {
        EXPECT_EQ(file.read(i).key, keys[static_cast<size_t>(i)]);
      } else {
        EXPECT_THROW(file.read(i), BadSample) << "cut at " << size;
      }
    }
  }
  EXPECT_GE(most, 4u);
}

INSTANTIATE_TEST_SUITE_P(Tar, CutShort, ::testing::Values("none", "gzip", "zstd"));

TEST(ShardReader, MemberCutShortIsACountedSkip) {
  const TempFolder folder;
  const std::string path = (folder / "x.tar").string();
  write_tar(path, {{"1.ppm", tiny_ppm(2, 2)}, {"2.ppm", tiny_ppm(40, 40)}});
  std::filesystem::resize_file(path, 512 + 512 + 512 + 1000);
  SkipCounter skips;
  EXPECT_THAT(keys_in(path, skips), ElementsAre("1"));
  EXPECT_EQ(skips.count(skip::kCutShort), 1);
}

TEST(ShardReader, UnreadableShardsAreErrorsUnlessSkipped) {
  const TempFolder folder;
  const std::string garbage = (folder / "garbage.tar").string();
  write_file(garbage, std::string(5000, 'g'));
  const std::string empty = (folder / "empty.tar").string();
  write_file(empty, "");
  const std::string missing = (folder / "missing.tar").string();
  for (const auto& path : {garbage, empty, missing, folder.path().string()}) {
    SkipCounter skips;
    EXPECT_THROW(ShardReader(path, skips).skip(1), Error) << path;
    EXPECT_THROW(ShardFile(path, skips), Error) << path;
    EXPECT_THROW(count_samples(path, skips), Error) << path;
    EXPECT_EQ(skips.total(), 0) << path;
    EXPECT_THAT(keys_in(path, skips, {.skip_bad_shards = true}), ElementsAre());
    EXPECT_EQ(skips.count(skip::kBadShard), 1) << path;
    EXPECT_EQ(ShardFile(path, skips, {.skip_bad_shards = true}).samples(), 0);
  }
}

TEST(ShardReader, DamageMidwayIsAnErrorUnlessSkipped) {
  const TempFolder folder;
  const std::string path = (folder / "x.tar").string();
  write_tar(path, {{"1.ppm", tiny_ppm(2, 2)}, {"2.ppm", tiny_ppm(2, 2)}, {"3.ppm", "x"}});
  std::string bytes = read_file(path);
  // The third header. Sample 2 is left out too: its JSON may have been what is lost.
  bytes.replace(2048, 100, std::string(100, '!'));
  write_file(path, bytes);
  SkipCounter skips;
  EXPECT_THROW(keys_in(path, skips), Error);
  EXPECT_THROW(ShardFile(path, skips), Error);
  EXPECT_THAT(keys_in(path, skips, {.skip_bad_shards = true}), ElementsAre("1"));
  EXPECT_EQ(ShardFile(path, skips, {.skip_bad_shards = true}).samples(), 1);
}

TEST(ShardReader, RandomDamageNeverCrashes) {
  const TempFolder folder;
  const std::string path = (folder / "x.tar").string();
  for (const std::string filter : {"none", "gzip", "zstd"}) {
    for (const std::string format : {"ustar", "pax", "gnutar"}) {
      auto entries = three_samples();
      entries.push_back(
          {std::string(120, 'd') + "/" + std::string(80, 'e') + ".ppm", tiny_ppm(5, 2)});
      write_tar(path, entries, format, filter);
      const std::string whole = read_file(path);
      std::mt19937 noise(7);
      for (int round = 0; round < 60; ++round) {
        std::string bytes = whole;
        for (int i = 0; i < 8; ++i) bytes[noise() % bytes.size()] = static_cast<char>(noise());
        write_file(path, bytes);
        SkipCounter skips(0);
        EXPECT_LE(keys_in(path, skips, {.skip_bad_shards = true}).size(), 30u);
        const ShardFile file(path, skips, {.skip_bad_shards = true});
        for (int64_t i = 0; i < file.samples(); ++i) {
          try {
            EXPECT_FALSE(file.read(i).image.empty());
          } catch (const BadSample& bad) {
            EXPECT_FALSE(bad.reason().empty());
          }
        }
      }
    }
  }
}

TEST(ShardIndex, NumbersSamplesOverAllShards) {
  const TempFolder folder;
  std::vector<std::string> paths;
  for (const int count : {3, 0, 2}) {
    paths.push_back((folder / (std::to_string(paths.size()) + ".tar")).string());
    ShardWriter writer(paths.back());
    for (int i = 0; i < count; ++i) writer.write(make_test_record(std::to_string(i)));
    writer.commit();
  }
  SkipCounter skips;
  const ShardIndex index(paths, 2, skips);
  EXPECT_EQ(index.size(), 5);
  EXPECT_EQ(index.shards(), 3);
  EXPECT_EQ(index.samples_in(1), 0);
  EXPECT_EQ(index.first_of(2), 3);
  EXPECT_EQ(index.locate(2).shard, 0);
  EXPECT_EQ(index.locate(2).sample, 2);
  EXPECT_EQ(index.locate(3).shard, 2);
  EXPECT_EQ(index.locate(4).sample, 1);
}

TEST(ShardWriter, WritesWhatIsReadBack) {
  const TempFolder folder;
  for (const std::string name : {"x.tar", "x.tar.gz", "x.tar.zst"}) {
    Record record = make_test_record("dir/0001", "été");
    record.alt_text = "alt";
    record.label = "thing";
    record.regions.push_back({{0.1f, 0.2f, 0.3f, 0.4f}, "a thing", 0.5f, "human", Json::object()});
    record.extra["url"] = "u";
    record.others.push_back({"cls", "3"});
    ShardWriter writer(folder / name);
    writer.write(record);
    writer.write(make_test_record("dir/0002"));
    EXPECT_FALSE(std::filesystem::exists(folder / name));
    writer.commit();
    SkipCounter skips;
    ShardReader reader((folder / name).string(), skips, {.keep_other_members = true});
    Record back;
    ASSERT_TRUE(reader.next(back));
    EXPECT_EQ(back.key, record.key);
    EXPECT_EQ(back.image, record.image);
    EXPECT_EQ(back.alt_text, "alt");
    EXPECT_EQ(record_json(back), record_json(record));
    ASSERT_EQ(back.others.size(), 1u);
    EXPECT_EQ(back.others[0].bytes, "3");
    ASSERT_TRUE(reader.next(back));
    EXPECT_EQ(back.key, "dir/0002");
    EXPECT_FALSE(reader.next(back));
  }
}

TEST(ShardWriter, BytesDependOnTheRecordsAlone) {
  const TempFolder folder;
  std::vector<std::string> written;
  for (const std::string name : {"a.tar", "b.tar", "a.tar.gz", "b.tar.gz"}) {
    ShardWriter writer(folder / name);
    writer.write(make_test_record("1"));
    writer.write(make_test_record(std::string(200, 'k')));
    writer.commit();
    written.push_back(read_file(folder / name));
  }
  EXPECT_EQ(written[0], written[1]);
  EXPECT_EQ(written[2], written[3]);
  EXPECT_EQ(written[0].substr(257, 5), "ustar");
}

TEST(ShardWriter, RefusesKeysThatWouldMixSamples) {
  const TempFolder folder;
  ShardWriter writer(folder / "x.tar");
  writer.write(make_test_record("1"));
  EXPECT_THROW(writer.write(make_test_record("1")), Error);
  EXPECT_THROW(writer.write(make_test_record("a.b")), Error);
  EXPECT_THROW(writer.write(make_test_record("../x")), Error);
  EXPECT_THROW(writer.write(make_test_record("")), Error);
  Record text = make_test_record("2");
  text.extension = "txt";
  EXPECT_THROW(writer.write(text), Error);
}

std::vector<std::string> files_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

TEST(ShardSetWriter, RotatesAndAppearsAtCommit) {
  const TempFolder folder;
  ShardSetWriter writer(folder / "out", {.samples_per_shard = 2});
  for (int i = 0; i < 5; ++i) writer.write(make_test_record(std::to_string(i)));
  EXPECT_TRUE(std::filesystem::is_directory(folder / "out"));
  EXPECT_FALSE(std::filesystem::exists(folder / "out" / "00000.tar"));
  writer.commit();
  EXPECT_THAT(files_in(folder / "out"), ElementsAre("00000.tar", "00001.tar", "00002.tar"));
  EXPECT_EQ(writer.samples(), 5);
  EXPECT_EQ(writer.shards(), 3);
  SkipCounter skips;
  EXPECT_THAT(keys_in((folder / "out" / "00002.tar").string(), skips), ElementsAre("4"));
}

TEST(ShardSetWriter, LeavesNothingBehindWithoutCommit) {
  const TempFolder folder;
  {
    ShardSetWriter writer(folder / "out", {.samples_per_shard = 2});
    for (int i = 0; i < 5; ++i) writer.write(make_test_record(std::to_string(i)));
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "out"));
}

TEST(ShardSetWriter, ReplacesOldShardsOnlyWhenTold) {
  const TempFolder folder;
  const auto out = folder / "out";
  {
    ShardSetWriter first(out, {.samples_per_shard = 1});
    for (int i = 0; i < 3; ++i) first.write(make_test_record(std::to_string(i)));
    first.commit();
  }
  write_file(out / "notes.txt", "mine");
  EXPECT_THROW(ShardSetWriter(out, {}), Error);
  {
    ShardSetWriter second(out, {.overwrite = true});
    second.write(make_test_record("new"));
    EXPECT_THAT(files_in(out), ::testing::Contains("00002.tar"));
    second.commit();
  }
  EXPECT_THAT(files_in(out), ElementsAre("00000.tar", "notes.txt"));
}

TEST(ShardSetWriter, RemovesWhatAKilledRunLeft) {
  const TempFolder folder;
  const auto out = folder / "set";
  const std::string machine = owner_tag().substr(0, 8);
  const std::string alive = ".writing." + owner_tag() + "-x.tmp";
  const std::string elsewhere = ".writing.00000000-8388607-1-0.tmp";  // another machine's: unknown
  write_file(out / (".writing." + machine + "-8388607-1-0.tmp") / "00000.tar", "half");
  // A process of this number lives, but it began at another time.
  write_file(out / (".writing." + machine + "-" + std::to_string(::getpid()) + "-1-0.tmp") / "x",
             "");
  write_file(out / alive / "00000.tar", "alive");
  write_file(out / elsewhere / "00000.tar", "alive");
  ShardSetWriter writer(out);
  writer.write(make_test_record("x", ""));
  writer.commit();
  EXPECT_THAT(files_in(out), UnorderedElementsAre(alive, elsewhere, "00000.tar"));
}

TEST(ShardSetWriter, TwoAtOnceDoNotReplaceEachOther) {
  const TempFolder folder;
  ShardSetWriter first(folder / "out"), second(folder / "out");
  first.write(make_test_record("first", ""));
  second.write(make_test_record("second", ""));
  first.commit();
  EXPECT_THROW(second.commit(), Error);
  SkipCounter skips;
  EXPECT_THAT(keys_in((folder / "out/00000.tar").string(), skips), ElementsAre("first"));
}

// As if the writer had been killed where the new set counts and none of it is in its place.
TEST(ShardSetWriter, ReadersSeeTheNewSetOfAKilledWriter) {
  const TempFolder folder;
  const auto set = [&](const std::string& name, int samples) {
    ShardSetWriter writer(folder / name, {.samples_per_shard = 1});
    for (int i = 0; i < samples; ++i) writer.write(make_test_record(name + std::to_string(i), ""));
    writer.commit();
  };
  set("new", 2);
  set("out", 3);
  std::filesystem::rename(folder / "new", folder / "out" / ".publishing");
  write_file(folder / "out/.publishing/manifest", "+00000.tar\n+00001.tar\n-00002.tar\n");
  const auto seen = [&] {
    SkipCounter skips;
    std::vector<std::string> keys;
    for (const auto& path : expand_glob((folder / "out").string())) {
      for (const auto& key : keys_in(path, skips)) keys.push_back(key);
    }
    return keys;
  };
  EXPECT_THAT(seen(), ElementsAre("new0", "new1"));
  std::filesystem::rename(folder / "out/.publishing/00000.tar", folder / "out/00000.tar");
  EXPECT_THAT(seen(), ElementsAre("new0", "new1"));
  // Single shards would be a mix.
  EXPECT_THROW(expand_glob((folder / "out/*.tar").string()), Error);
  EXPECT_THROW(expand_glob((folder / "out/00001.tar").string()), Error);
  EXPECT_THROW(ShardSetWriter(folder / "out"), Error);  // there are shards; they are in place now
  EXPECT_THAT(files_in(folder / "out"), UnorderedElementsAre("00000.tar", "00001.tar"));
  EXPECT_THAT(seen(), ElementsAre("new0", "new1"));
}

TEST(SkipCounter, CountsByReason) {
  SkipCounter skips(1);
  EXPECT_EQ(skips.summary(), "");
  skips.add(skip::kBadJson, "a");
  skips.add(skip::kBadJson, "b");
  skips.add(BadSample(skip::kNoImage, "", "c"));
  EXPECT_EQ(skips.total(), 3);
  EXPECT_EQ(skips.summary(), "3 skipped (2 bad JSON, 1 no image)");
  EXPECT_EQ(dump_json(skips.json()), R"({"bad JSON":2,"no image":1})");
}

}  // namespace
}  // namespace opencloc

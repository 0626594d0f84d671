// `opencloc data` from end to end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include "opencloc/data/shard/shard_writer.h"
#include "tests/cli/run_binary.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::run_binary;
using fixtures::TempFolder;
using fixtures::tiny_ppm;
using ::testing::HasSubstr;

Json stats_of(const fs::path& data) {
  const auto result = run_binary("data stats --json --data " + data.string());
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return parse_json(result.out, "stdout");
}

TEST(DataVerb, ImportsAFolderAndLooksAtIt) {
  const TempFolder folder;
  for (int i = 0; i < 5; ++i) {
    write_file(folder / ("images/red_fox/" + std::to_string(i) + ".ppm"), tiny_ppm(30, 20));
  }
  write_file(folder / "images/red_fox/broken.jpg", "no");
  const std::string out = (folder / "shards").string();
  const auto import =
      run_binary("data import --format folder --images " + (folder / "images").string() +
                 " --out " + out + " --samples-per-shard 2 --json");
  ASSERT_EQ(import.exit_code, 0) << import.err;
  const Json report = parse_json(import.out, "stdout");
  EXPECT_EQ(report["samples"], 5);
  EXPECT_EQ(report["shards"], 3);
  EXPECT_EQ(report["skipped"]["image does not decode"], 1);
  EXPECT_THAT(import.err, HasSubstr("broken.jpg"));
  EXPECT_EQ(stats_of(out)["labels"]["red fox"], 5);

  EXPECT_EQ(run_binary("data import --format folder --images " + (folder / "images").string() +
                       " --out " + out)
                .exit_code,
            2)
      << "shards are not overwritten unasked";

  const std::string page = (folder / "page.html").string();
  const auto show = run_binary("data show --data " + out + " --out " + page);
  EXPECT_EQ(show.exit_code, 0) << show.err;
  EXPECT_THAT(read_file(page), HasSubstr("a photo of a red fox"));

  const auto mosaic = run_binary("data mosaic --data " + out + " --grid 2 --count 3 --size 64 " +
                                 "--out " + (folder / "mosaics").string());
  EXPECT_EQ(mosaic.exit_code, 0) << mosaic.err;
  const Json mosaics = stats_of(folder / "mosaics");
  EXPECT_EQ(mosaics["images"], 3);
  EXPECT_EQ(mosaics["regions"], 12);

  const std::string crops = "data crops --data " + (folder / "mosaics").string() + " --out ";
  const auto cut = run_binary(crops + (folder / "crops").string() + " --json");
  ASSERT_EQ(cut.exit_code, 0) << cut.err;
  const Json cuts = parse_json(cut.out, "stdout");
  EXPECT_EQ(cuts["images"], 3);
  EXPECT_EQ(cuts["samples"], 12);
  EXPECT_EQ(stats_of(folder / "crops")["images"], 12);
  const auto none = run_binary(crops + (folder / "none").string() + " --smallest 33");
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(fixtures::error_line(none), HasSubstr("12 too small"));
  EXPECT_FALSE(fs::exists(folder / "none" / "00000.tar"));
}

TEST(DataVerb, CheckWritesNothingAndStrictRefuses) {
  const TempFolder folder;
  write_file(folder / "images/fox/0.ppm", tiny_ppm(30, 20));
  const auto import = [&](const std::string& flags) {
    return run_binary("data import --format folder --images " + (folder / "images").string() + " " +
                      flags);
  };
  const std::string out = " --out " + (folder / "shards").string();
  EXPECT_EQ(import("").exit_code, 2) << "--out is needed";
  const auto whole = import("--check --strict --json");
  EXPECT_EQ(whole.exit_code, 0) << whole.err;
  EXPECT_EQ(parse_json(whole.out, "stdout")["samples"], 1);

  write_file(folder / "images/fox/broken.jpg", "no");
  const auto check = import("--check --json" + out);
  EXPECT_EQ(check.exit_code, 0) << check.err;
  const Json report = parse_json(check.out, "stdout");
  EXPECT_EQ(report["checked"], true);
  EXPECT_EQ(report["samples"], 1);
  EXPECT_EQ(report["skipped"]["image does not decode"], 1);
  const auto strict = import("--strict" + out);
  EXPECT_EQ(strict.exit_code, 1);
  EXPECT_THAT(strict.err, HasSubstr("left out: image does not decode"));
  EXPECT_THAT(fixtures::error_line(strict), HasSubstr("--strict"));
  EXPECT_FALSE(fs::exists(folder / "shards")) << "neither wrote anything";

  const auto loose = import(out);
  EXPECT_EQ(loose.exit_code, 0);
  EXPECT_THAT(loose.err, HasSubstr("pictures imported"));
  EXPECT_THAT(loose.err, HasSubstr("broken.jpg"));
}

TEST(DataVerb, ATableWithoutNamesBecomesARowOfTable1) {
  const TempFolder folder;
  const auto at = [&folder](const std::string& name) { return (folder / name).string(); };
  for (const char* name : {"a", "b"})
    write_file(folder / ("images/" + std::string(name) + ".ppm"), tiny_ppm(30, 20));
  write_file(folder / "Flickr8k.token.txt",
             "a.ppm#0\ttitle\na.ppm#1\tA red bus and two dogs .\nb.ppm#0\tA man .\n");
  const auto import = run_binary(
      "data import --format csv --no-header --columns image,caption --images " + at("images") +
      " --annotations " + at("Flickr8k.token.txt") + " --out " + at("in"));
  ASSERT_EQ(import.exit_code, 0) << import.err;
  EXPECT_EQ(stats_of(folder / "in")["captions"], 3);
  EXPECT_FALSE(stats_of(folder / "in").contains("reports"));

  const auto label =
      run_binary("label --detector-kind none --text-from captions:1,caption:0 --data " + at("in") +
                 " --out " + at("labelled"));
  ASSERT_EQ(label.exit_code, 0) << label.err;
  const Json stats = stats_of(folder / "labelled");
  EXPECT_EQ(stats["reports"]["shards"], 1);
  EXPECT_EQ(stats["reports"]["images"], 2);
  EXPECT_EQ(stats["reports"]["stages"]["phrases"]["phrases"], stats["phrases"]);
  EXPECT_TRUE(stats["reports"]["stage_share"].contains("phrases"));
  const std::string data = "data stats --data " + at("labelled");
  EXPECT_THAT(run_binary(data).out, HasSubstr("labelled shards             1 with a report"));
  const auto row = run_binary(data + " --row flickr");
  EXPECT_EQ(row.exit_code, 0);
  EXPECT_THAT(row.out, HasSubstr("\n| flickr | 2 | - | 2.0 | - |"));

  write_file(folder / "labelled/00000.tar.report.json", "{}");
  const auto broken = run_binary(data);
  EXPECT_EQ(broken.exit_code, 2);
  EXPECT_THAT(fixtures::error_line(broken), HasSubstr("00000.tar.report.json"));

  const auto show = run_binary("data show --data " + at("labelled") + " --out " + at("page.html"));
  EXPECT_EQ(show.exit_code, 0) << show.err;
  EXPECT_THAT(read_file(folder / "page.html"), HasSubstr("no detector has been asked"));
}

TEST(DataVerb, ScenesDependOnTheSeedNotOnThreads) {
  const TempFolder folder;
  const auto make = [&](const std::string& name, const std::string& flags) {
    const auto result = run_binary("data scenes --count 40 --size 64 --samples-per-shard 30 " +
                                   flags + " --out " + (folder / name).string());
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return read_file(folder / name / "00000.tar") + read_file(folder / name / "00001.tar");
  };
  const std::string one = make("a", "--seed 1 --threads 1");
  EXPECT_EQ(make("b", "--seed 1 --threads 3"), one);
  EXPECT_NE(make("c", "--seed 2"), one);
  const Json stats = stats_of(folder / "a");
  EXPECT_EQ(stats["images"], 40);
  EXPECT_GE(stats["regions"], 40);
}

TEST(DataVerb, AFullDiskIsExitCode1AndLeavesNothing) {
  const TempFolder folder;
  const fs::path disk = folder / "disk";
  fs::create_directory(disk);
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=256k") != 0) {
    GTEST_SKIP() << "cannot mount a small tmpfs: needs root";
  }
  const auto result = run_binary(
      "data scenes --count 400 --size 128 --samples-per-shard 20 --out " + (disk / "out").string());
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(fixtures::error_line(result), HasSubstr("No space left"));
  EXPECT_TRUE(fs::is_empty(disk));
  ::umount2(disk.c_str(), MNT_DETACH);
}

}  // namespace
}  // namespace opencloc

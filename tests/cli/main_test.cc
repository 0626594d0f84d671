// The binary's manners: exit codes, one-line errors, --help, --version, --config.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/data/shard/shard_writer.h"
#include "tests/cli/run_binary.h"

namespace opencloc {
namespace {

using fixtures::error_line;
using fixtures::run_binary;
using fixtures::TempFolder;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// One line, "opencloc: error: ...", and nothing on stdout.
void expect_error(const std::string& arguments, int exit_code, const std::string& part) {
  const auto result = run_binary(arguments);
  EXPECT_EQ(result.exit_code, exit_code) << arguments << "\n" << result.err;
  EXPECT_EQ(result.out, "") << arguments;
  const std::string line = error_line(result);
  EXPECT_THAT(line, HasSubstr(part)) << arguments;
  EXPECT_EQ(line.find('\n'), line.size() - 1) << "more than one line: " << line;
}

TEST(Binary, SaysItsVersion) {
  const auto result = run_binary("--version");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, ::testing::MatchesRegex("opencloc [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST(Binary, EveryVerbHelpsWithAnExample) {
  for (const std::string verb :
       {"", "data", "data import", "data scenes", "data mosaic", "data stats", "data show", "train",
        "eval", "embed", "label", "inspect", "compare", "bench"}) {
    const auto result = run_binary(verb + " --help");
    EXPECT_EQ(result.exit_code, 0) << verb;
    EXPECT_EQ(result.err, "") << verb;
    EXPECT_THAT(result.out, HasSubstr("Example")) << verb;
    EXPECT_THAT(result.out, HasSubstr("opencloc " + verb)) << verb;
  }
}

TEST(Binary, WrongUsageIsExitCode2) {
  expect_error("", 2, "opencloc --help");
  expect_error("paint", 2, "unknown verb 'paint'");
  expect_error("data", 2, "opencloc data --help");
  expect_error("data paint", 2, "unknown verb 'paint', data: use one of import");
  expect_error("data stats", 2, "--data is required");
  expect_error("data stats --data x --paint", 2, "--paint");
  expect_error("data scenes --count many --out x", 2, "--count");
  expect_error("data scenes --count 0 --out x", 2, "--count");
}

TEST(Binary, UnusableInputIsExitCode2) {
  const TempFolder folder;
  expect_error("data stats --data " + (folder / "none-*.tar").string(), 2, "no file matches");
  write_file(folder / "bad.tar", std::string(2000, 'x'));
  const std::string bad = (folder / "bad.tar").string();
  expect_error("data stats --data " + bad, 2, "cannot open shard (Unrecognized archive format)");
  const auto skipped = run_binary("data stats --skip-bad-shards --json --data " + bad);
  EXPECT_EQ(skipped.exit_code, 0);
  EXPECT_EQ(parse_json(skipped.out, "stdout")["skipped"]["shard cannot be read"], 1);
}

TEST(Binary, OutputThatCannotBeWrittenIsExitCode1) {
  expect_error("data scenes --count 2 --out /proc/none/out", 1, "/proc/none/out");
  const int status = std::system(OPENCLOC_BINARY " --version >/dev/full 2>/dev/null");
  EXPECT_EQ(WEXITSTATUS(status), 1);
}

class Config : public ::testing::Test {
 protected:
  void SetUp() override {
    ShardWriter writer(folder_ / "x.tar");
    writer.write(fixtures::make_test_record("1"));
    writer.commit();
  }
  std::string config(const std::string& text) {
    write_file(folder_ / "c.toml", text);
    return "--config " + (folder_ / "c.toml").string();
  }
  std::string shard() const { return (folder_ / "x.tar").string(); }
  TempFolder folder_;
};

TEST_F(Config, GivesFlagsTheirValues) {
  const auto result =
      run_binary("data stats " + config("data = \"" + shard() + "\"\njson = true # a comment\n"));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(parse_json(result.out, "stdout")["images"], 1);
}

TEST_F(Config, SectionsAreVerbs) {
  const auto result =
      run_binary("data stats " + config("[train]\nbatch-size = 64\n[data.stats]\ndata = \"" +
                                        shard() + "\"\njson = true\nno_decode = true\n"));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(parse_json(result.out, "stdout")["pixels_per_image"], 0.0);
}

TEST_F(Config, TheCommandLineWins) {
  const auto result = run_binary("data stats --json --data=" + shard() + " " +
                                 config("data = \"nothing.tar\"\njson = false\n"));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, StartsWith("{"));
}

TEST_F(Config, MistakesAreExitCode2) {
  expect_error("data stats " + config("dat = \"x\"\n"), 2, "unknown key 'dat'");
  expect_error("data stats " + config("[paint]\nx = 1\n"), 2, "unknown section");
  expect_error("data stats " + config("config = \"x\"\n"), 2, "unknown key 'config'");
  expect_error("data stats " + config("data = \"x\"\nthreads = \"many\"\n"), 2, "--threads");
  expect_error("data stats --config /none.toml", 2, "/none.toml");
}

}  // namespace
}  // namespace opencloc

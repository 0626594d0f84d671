#include "opencloc/dist/launch.h"

#include <chrono>

#include <gtest/gtest.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "tests/base/temp_folder.h"

namespace opencloc::dist {
namespace {

int run(const std::string& script, const LaunchOptions& options) {
  return launch({"/bin/sh", "-c", script}, options);
}

TEST(Launch, EveryProcessKnowsItsPlace) {
  const fixtures::TestFolder folder;
  EXPECT_EQ(run("echo $RANK $WORLD_SIZE $LOCAL_RANK $LOCAL_WORLD_SIZE $GROUP_RANK $MASTER_ADDR "
                "$TORCHELASTIC_RESTART_COUNT > " +
                    folder.path().string() + "/$RANK",
                {.processes = 2, .nodes = 2, .node_rank = 1, .host = "n01", .port = 4000}),
            0);
  EXPECT_EQ(read_file(folder.path() / "2"), "2 4 0 2 1 n01 0\n");
  EXPECT_EQ(read_file(folder.path() / "3"), "3 4 1 2 1 n01 0\n");
}

TEST(Launch, TheFirstThatFailsGivesTheExitCode) {
  EXPECT_EQ(run("test $RANK = 1 && exit 3; exec sleep 0.2", {.processes = 3}), 3);
  EXPECT_EQ(run("test $RANK = 1 && kill -9 $$; exit 0", {.processes = 2}), 128 + 9);
  EXPECT_EQ(launch({"/no/such/program"}, {.processes = 1}), 127);
}

TEST(Launch, StartsAgainAsOftenAsItMay) {
  const fixtures::TestFolder folder;
  const std::string count = "echo x >> " + folder.path().string() + "/n; ";
  EXPECT_EQ(
      run(count + "test $TORCHELASTIC_RESTART_COUNT = 2", {.processes = 1, .max_restarts = 5}), 0);
  EXPECT_EQ(read_file(folder.path() / "n"), "x\nx\nx\n");
  EXPECT_EQ(run(count + "exit 1", {.processes = 1, .max_restarts = 1}), 1);
  EXPECT_EQ(read_file(folder.path() / "n"), "x\nx\nx\nx\nx\n");
  // Wrong usage stays wrong.
  EXPECT_EQ(run(count + "exit 2", {.processes = 1, .max_restarts = 5}), 2);
  EXPECT_EQ(read_file(folder.path() / "n"), "x\nx\nx\nx\nx\nx\n");
}

TEST(Launch, WritesALogOfEachRank) {
  const fixtures::TestFolder folder;
  EXPECT_EQ(run("echo line of $RANK >&2", {.processes = 2, .log_dir = folder.path() / "logs"}), 0);
  EXPECT_EQ(read_file(folder.path() / "logs" / "rank-0.log"), "line of 0\n");
  EXPECT_EQ(read_file(folder.path() / "logs" / "rank-1.log"), "line of 1\n");
}

TEST(Launch, OptionsThatMakeNoSenseAreErrors) {
  EXPECT_THROW(run("true", {.processes = 0}), Error);
  EXPECT_THROW(run("true", {.nodes = 2}), Error);
  EXPECT_THROW(run("true", {.nodes = 2, .node_rank = 2, .host = "n01", .port = 1}), Error);
}

}  // namespace
}  // namespace opencloc::dist

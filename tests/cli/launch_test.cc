// One run by several processes: the same as by one, whatever happens to them.
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/json.h"
#include "tests/cli/run_binary.h"

namespace opencloc {
namespace {

using fixtures::error_line;
using fixtures::run_binary;
using fixtures::RunResult;
using ::testing::HasSubstr;

class LaunchTest : public fixtures::BinaryTest {
 protected:
  void SetUp() override {
    OPENCLOC_SKIP_WITHOUT_GLOOS_LOCKS();
    ASSERT_EQ(
        run_binary("data scenes --count 60 --size 32 --seed 1 --out " + at("scenes")).exit_code, 0);
  }
  std::string recipe(const std::string& out, int steps = 6) const {
    return " train --data " + at("scenes") +
           " --model ViT-Test --vocab-size 300 --batch-size 7 --log-every 1 --save-every 2 "
           "--warmup 0"
           " --steps " +
           std::to_string(steps) + " --threads 1 --workers 1 --report-pictures 0 --seed 3 --out " +
           at(out) + " ";
  }
  RunResult train(int processes, const std::string& out, const std::string& more = {},
                  int steps = 6) const {
    if (processes == 1) return run_binary(recipe(out, steps) + more);
    return run_binary("launch --processes " + std::to_string(processes) + " --" +
                      recipe(out, steps) + more);
  }
  std::string weights(const std::string& run) const {
    return read_file(folder_ / run / "model" / "open_clip_model.safetensors");
  }
  std::vector<Json> metrics(const std::string& run) const {
    std::vector<Json> lines;
    std::istringstream text(read_file(folder_ / run / "metrics.jsonl"));
    for (std::string line; std::getline(text, line);) lines.push_back(parse_json(line, run));
    return lines;
  }
  void expect_same_losses(const std::string& a, const std::string& b) const {
    const auto first = metrics(a), second = metrics(b);
    ASSERT_EQ(first.size(), second.size());
    for (size_t i = 0; i < first.size(); ++i) {
      EXPECT_NEAR(first[i]["loss"].get<double>(), second[i]["loss"].get<double>(), 1e-4);
      EXPECT_EQ(first[i]["regions"], second[i]["regions"]);
      EXPECT_EQ(first[i]["samples"], second[i]["samples"]);
    }
  }
};

TEST_F(LaunchTest, AnyNumberOfProcessesTrainsTheSameModel) {
  ASSERT_EQ(train(1, "one").exit_code, 0);
  EXPECT_FALSE(metrics("one").back().contains("slowest"));
  for (const int processes : {2, 3}) {
    const std::string run = "of-" + std::to_string(processes);
    const auto result = train(processes, run);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.out, at(run) + "/model\n");  // once
    expect_same_losses("one", run);
  }
  // To the bit for the same number, also with a sharded optimizer.
  ASSERT_EQ(train(3, "again", "--zero 1").exit_code, 0);
  EXPECT_EQ(weights("again"), weights("of-3"));
}

// What three processes find in training is what one finds in the model that they leave.
TEST_F(LaunchTest, ProcessesShareTheEvaluationAndNameTheSlowest) {
  const auto result = train(3, "run", "--val " + at("scenes"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto lines = metrics("run");
  const auto alone =
      run_binary("eval --json --threads 1 --model " + at("run/model") + " --data " + at("scenes"));
  ASSERT_EQ(alone.exit_code, 0) << alone.err;
  const Json expected = parse_json(alone.out, "eval");
  ASSERT_TRUE(lines.back().contains("eval")) << lines.back();
  for (const auto& [key, figures] : lines.back()["eval"].items())
    EXPECT_EQ(figures, expected[key]) << key;
  EXPECT_TRUE(lines.back()["eval"].contains("grounding"));
  for (const auto& line : lines) {
    if (line.contains("eval")) continue;
    ASSERT_TRUE(line.contains("slowest")) << line;
    EXPECT_LT(line["slowest"]["rank"].get<int>(), 3);
    EXPECT_GE(line["slowest"]["times_median"].get<double>(), 1);
    EXPECT_FALSE(line["slowest"]["host"].get<std::string>().empty());
  }
}

TEST_F(LaunchTest, AnotherNumberOfProcessesGoesOn) {
  ASSERT_EQ(train(1, "one").exit_code, 0);
  ASSERT_EQ(train(3, "mixed", "--zero 1", 2).exit_code, 0);
  ASSERT_EQ(train(2, "mixed", "", 4).exit_code, 0);
  ASSERT_EQ(train(1, "mixed").exit_code, 0);
  const auto one = metrics("one"), mixed = metrics("mixed");
  ASSERT_EQ(mixed.size(), one.size());
  // The schedule hangs on the number of steps; the samples do not.
  for (size_t i = 0; i < one.size(); ++i) EXPECT_EQ(mixed[i]["regions"], one[i]["regions"]);
}

TEST_F(LaunchTest, ADifferentSettingOfOneProcessIsNamed) {
  const std::string job = "MASTER_ADDR=127.0.0.1 MASTER_PORT=$PORT WORLD_SIZE=2 ";
  const std::string one = " " + std::string(OPENCLOC_BINARY) + recipe("run");
  const std::string script =
      "PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind((\"\", 0)); "
      "print(s.getsockname()[1])'); " +
      job + "RANK=1" + one + "--lr 0.5 2> " + at("second") + " & " + job + "RANK=0" + one +
      "--lr 0.25 2> " + at("first") + "; echo $? > " + at("code") + "; wait";
  write_file(folder_ / "script", script);
  ASSERT_EQ(std::system(("sh " + at("script")).c_str()), 0);
  EXPECT_EQ(read_file(folder_ / "code"), "2\n");
  for (const char* log : {"first", "second"})
    EXPECT_THAT(read_file(folder_ / log),
                HasSubstr("rank 1 has 'lr = 0.5', rank 0 has 'lr = 0.25'"));
}

TEST_F(LaunchTest, AKilledProcessEndsAllAndTheRunGoesOn) {
  ASSERT_EQ(train(2, "whole").exit_code, 0);
  // After its first checkpoint the youngest process is killed.
  const auto stopped =
      run_binary("launch --processes 2 --log-dir " + at("logs") + " --" + recipe("killed") +
                 "--dist-timeout 20 & L=$!; while [ ! -d " + at("killed/checkpoints/step-2") +
                 " ]; do kill -0 $L 2>/dev/null || break; sleep 0.02; done; pkill -9 -P $L -n; "
                 "wait $L; exit 1");
  EXPECT_EQ(stopped.exit_code, 1);
  EXPECT_THAT(read_file(folder_ / "logs" / "rank-0.log"),
              HasSubstr("rank 1 was killed by signal 9"));
  ASSERT_EQ(train(2, "killed").exit_code, 0);
  EXPECT_EQ(weights("killed"), weights("whole"));
}

TEST_F(LaunchTest, AProcessKilledBeforeAllHaveJoinedIsNamed) {
  run_binary(
      "launch --processes 2 --log-dir " + at("logs") + " --" + recipe("early") + " 2> " +
      at("said") +
      " & L=$!; while [ $(pgrep -c -P $L) -lt 2 ]; do kill -0 $L 2>/dev/null || break; sleep "
      "0.01; done; "
      "pkill -9 -P $L -n; wait $L; exit 1");
  EXPECT_THAT(read_file(folder_ / "said"), HasSubstr("rank 1 was killed by signal 9"));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // Under a sanitizer rank 0 may take longer to start than it is waited for.
  EXPECT_THAT(read_file(folder_ / "logs" / "rank-0.log"),
              HasSubstr("rank 1 was killed by signal 9"));
#endif
}

TEST_F(LaunchTest, FewerSamplesThanProcessesAreRefused) {
  const auto result = train(8, "few");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(error_line(result), HasSubstr("--batch-size"));
}

TEST_F(LaunchTest, WrongUsage) {
  EXPECT_THAT(refused("launch --processes 0 -- data stats"), HasSubstr("--processes"));
  EXPECT_THAT(refused("launch --nodes 2 -- data stats"), HasSubstr("--master"));
  EXPECT_THAT(refused("launch --processes 2"), HasSubstr("command"));
}

}  // namespace
}  // namespace opencloc

// eval's tasks of image embeddings, from pictures to figures.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/json.h"
#include "tests/api/tiny_model_directory.h"
#include "tests/cli/run_binary.h"

namespace opencloc {
namespace {

using fixtures::error_line;
using fixtures::run_binary;
using ::testing::HasSubstr;

class EvalFeaturesTest : public fixtures::BinaryTest {
 protected:
  void SetUp() override {
    fixtures::write_tiny_model(folder_ / "model");
    scenes("train", 1);
    scenes("val", 2);
  }
  void scenes(const std::string& name, int seed) const {
    const auto made = run_binary(
        "data scenes --count 80 --size 48 --names 6 --max-objects 3 --threads 2 --seed " +
        std::to_string(seed) + " --out " + at(name));
    ASSERT_EQ(made.exit_code, 0) << made.err;
  }
  std::string eval(const std::string& more) const {
    return "eval --model " + at("model") + " --data " + at("val") + " " + more;
  }
};

TEST_F(EvalFeaturesTest, AllThreeTasksOverScenes) {
  const std::string command = eval("--train-data " + at("train") +
                                   " --tasks instance_retrieval,knn,linear_probe --probe-label "
                                   "regions --seed 5 --out " +
                                   at("results.json"));
  const auto table = run_binary(command + " --threads 1");
  ASSERT_EQ(table.exit_code, 0) << table.err;
  for (const char* part : {"mAP with the query itself", "k 200 T 0.01", "most frequent class",
                           "of 'regions', learned from 80 samples", "80 samples"})
    EXPECT_THAT(table.out, HasSubstr(part));
  const std::string written = read_file(folder_ / "results.json");
  const Json results = parse_json(written, "results");
  EXPECT_EQ(results["train_data"], at("train"));
  EXPECT_EQ(results["train"]["samples"], 80);
  EXPECT_EQ(results["linear_probe"]["n"], 80);
  EXPECT_EQ(results["linear_probe"]["seed"], 5);
  EXPECT_EQ(results["linear_probe"]["probe_label"], "regions");
  EXPECT_GT(results["instance_retrieval"]["map_with_self"],
            results["instance_retrieval"]["map_without_self"]);
  EXPECT_TRUE(results["not_run"].empty());
  // Threads change nothing, and the figures go into a comparison.
  ASSERT_EQ(run_binary(command + " --threads 3").exit_code, 0);
  EXPECT_EQ(read_file(folder_ / "results.json"), written);
  const auto compared = run_binary("compare this=" + at("results.json"));
  EXPECT_EQ(compared.exit_code, 0) << compared.err;
  for (const char* part : {"instance retrieval", "nearest neighbours", "linear probe"})
    EXPECT_THAT(compared.out, HasSubstr(part));
}

TEST_F(EvalFeaturesTest, TheProbeOfTheQuadrant) {
  const auto result =
      run_binary(eval("--json --tasks linear_probe --probe-label quadrant "
                      "--train-data " +
                      at("train")));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json figures = parse_json(result.out, "out")["linear_probe"];
  EXPECT_EQ(figures["classes"], 4);
  EXPECT_EQ(figures["n"], 80);
}

TEST_F(EvalFeaturesTest, WithoutTheFlagTheFiveTasksWithTextsRun) {
  const auto result = run_binary(eval("--json"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json results = parse_json(result.out, "out");
  EXPECT_TRUE(results.contains("zeroshot"));
  for (const char* task : {"instance_retrieval", "knn", "linear_probe"}) {
    EXPECT_FALSE(results.contains(task));
    EXPECT_FALSE(results["not_run"].contains(task));
  }
}

TEST_F(EvalFeaturesTest, WhatIsMissingIsSaidInFlags) {
  EXPECT_THAT(refused(eval("--tasks linear_probe")), HasSubstr("--train-data"));
  EXPECT_THAT(refused(eval("--tasks linear_probe --train-data " + at("val"))),
              HasSubstr("--train-data"));
  EXPECT_THAT(refused(eval("--tasks knn --train-data " + at("nothing"))), HasSubstr("nothing"));
  EXPECT_THAT(
      refused("train --data " + at("train") + " --val " + at("val") +
              " --eval-every 1 --steps 1 --model ViT-Test --eval-tasks linear_probe --out " +
              at("run")),
      HasSubstr("opencloc eval"));
}

TEST_F(EvalFeaturesTest, Gpr1200FromAFolderToItsFigures) {
  std::filesystem::create_directory(folder_ / "images");
  for (const auto& [name, width] : {std::pair{"3_a.ppm", 9},
                                    {"3_b.ppm", 20},
                                    {"1001_a.ppm", 31},
                                    {"1001_b.ppm", 50},
                                    {"wrong.ppm", 40}}) {
    write_file(folder_ / "images" / name, fixtures::tiny_ppm(width, 30));
  }
  const auto imported = run_binary("data import --format gpr1200 --json --images " + at("images") +
                                   " --out " + at("gpr"));
  ASSERT_EQ(imported.exit_code, 0) << imported.err;
  EXPECT_THAT(imported.out, HasSubstr("\"annotation cannot be used\":1"));
  const auto result = run_binary("eval --json --tasks instance_retrieval --model " + at("model") +
                                 " --data " + at("gpr"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json figures = parse_json(result.out, "out")["instance_retrieval"];
  EXPECT_EQ(figures["n"], 4);
  EXPECT_EQ(figures["groups"]["landmarks"]["n"], 2);
  EXPECT_EQ(figures["groups"]["faces"]["n"], 2);
}

}  // namespace
}  // namespace opencloc

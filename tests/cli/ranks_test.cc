// eval, embed and label by several processes: what one process gives, to the last byte.
#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/json.h"
#include "tests/api/tiny_model_directory.h"
#include "tests/cli/run_binary.h"
#include "tests/eval/tiny_world.h"

namespace opencloc {
namespace {

using fixtures::error_line;
using fixtures::run_binary;
using fixtures::RunResult;
using ::testing::HasSubstr;

// 34 samples in three shards, of which some cannot be used: two pictures do not decode, one sample
// has no picture, and one has no JSON that can be read.
class RanksTest : public fixtures::BinaryTest {
 protected:
  void SetUp() override {
    OPENCLOC_SKIP_WITHOUT_GLOOS_LOCKS();
    fixtures::write_tiny_model(folder_ / "model");
    auto records = fixtures::drawn_records(30);
    records[5].image = "no picture";
    records[19].image.resize(40);
    const auto cut = records.begin() + 18;
    std::filesystem::create_directory(folder_ / "data");
    fixtures::write_shard(folder_ / "data" / "a.tar", {records.begin(), cut});
    fixtures::write_shard(folder_ / "data" / "b.tar", {cut, records.end()});
    fixtures::write_tar(folder_ / "data" / "c.tar.zst",
                        {{"c0.png", records[0].image},
                         {"c0.json", R"({"caption": "an end", "label": "bee"})"},
                         {"c1.json", R"({"caption": "nothing to see"})"},
                         {"c2.png", records[1].image},
                         {"c2.json", "{no JSON"},
                         {"c3.png", records[2].image}},
                        "ustar", "zstd");
    const std::vector<std::string> names{"p.png", "q.png", "r.png"};
    for (size_t i = 0; i < names.size(); ++i) write_file(folder_ / names[i], records[i].image);
    write_file(folder_ / "texts",
               "a red car\ntwo dogs\ngr\xc3\xbc\xc3\x9f\na blue bus in a street\n");
  }
  static RunResult by(int processes, const std::string& command) {
    if (processes == 1) return run_binary(command);
    return run_binary("launch --processes " + std::to_string(processes) + " -- " + command);
  }
  std::string eval(const std::string& more = {}) const {
    return "eval --model " + at("model") + " --data " + at("data") + " --threads 1 --json " + more +
           " ";
  }
  std::string embed(const std::string& more, int batch = 4) const {
    return "embed --model " + at("model") + " --threads 1 --json --batch-size " +
           std::to_string(batch) + " " + more + " ";
  }
  // Both printed results of a command, which must be equal to the byte.
  static std::string expect_same(const std::string& command, int processes) {
    const auto one = by(1, command), several = by(processes, command);
    EXPECT_EQ(one.exit_code, 0) << one.err;
    EXPECT_EQ(several.exit_code, 0) << several.err;
    EXPECT_EQ(several.out, one.out) << processes << " processes: " << command;
    return one.out;
  }
  void expect_same_files(const std::string& one, const std::string& several) const {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_ / one)) {
      if (!entry.is_regular_file()) continue;
      const auto other = folder_ / several / std::filesystem::relative(entry.path(), folder_ / one);
      ASSERT_TRUE(std::filesystem::exists(other)) << other;
      EXPECT_TRUE(read_file(other) == read_file(entry.path())) << other;
    }
  }
  // Two processes of one job, the second in a folder of its own; what each one says.
  std::pair<std::string, std::string> two(const std::string& first, const std::string& second) {
    const std::string job = "MASTER_ADDR=127.0.0.1 MASTER_PORT=$PORT WORLD_SIZE=2 ";
    const std::string binary = std::string(OPENCLOC_BINARY) + " ";
    write_file(folder_ / "script",
               "PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind((\"\", 0)); "
               "print(s.getsockname()[1])')\n(mkdir -p " +
                   at("elsewhere") + "; cd " + at("elsewhere") + "; " + job + "RANK=1 " + binary +
                   second + " 2> " + at("second") + ") & cd " + at("") + "; " + job + "RANK=0 " +
                   binary + first + " 2> " + at("first") + "; echo $? > " + at("code") + "; wait");
    EXPECT_EQ(std::system(("sh " + at("script")).c_str()), 0);
    return {read_file(folder_ / "first"), read_file(folder_ / "second")};
  }
};

TEST_F(RanksTest, EvaluationOfAllTasks) {
  const std::string all = "--region-method all --batch-size 4";
  const Json results = parse_json(expect_same(eval(all), 3), "out");
  for (const char* task :
       {"zeroshot", "retrieval", "region_recognition", "region_retrieval", "grounding"})
    EXPECT_TRUE(results.contains(task)) << task;
  EXPECT_GT(results["region_recognition"]["methods"].size(), 2);
  EXPECT_EQ(results["samples"], 30);
  EXPECT_EQ(results["skipped"],
            Json({{"bad JSON", 1}, {"image does not decode", 2}, {"no image", 1}}));
  expect_same(eval(all + " --templates simple --tasks zeroshot"), 2);
}

TEST_F(RanksTest, EvaluationOfImageEmbeddings) {
  const auto records = fixtures::drawn_records(60);
  fixtures::write_shard(folder_ / "learn.tar", {records.begin() + 30, records.end()});
  const std::string tasks =
      "--batch-size 4 --tasks instance_retrieval,knn,linear_probe --probe-label quadrant ";
  const Json results =
      parse_json(expect_same(eval(tasks + "--train-data " + at("learn.tar")), 3), "out");
  for (const char* task : {"instance_retrieval", "knn", "linear_probe"})
    EXPECT_TRUE(results.contains(task)) << task;
  EXPECT_EQ(results["train"]["samples"], 30);
}

TEST_F(RanksTest, EvaluationOfFewerBatchesThanProcesses) {
  expect_same(eval("--batch-size 16"), 5);
  expect_same(eval("--batch-size 64 --max-samples 1"), 3);
}

// The last sample that counts lies within a batch, behind broken ones.
TEST_F(RanksTest, EvaluationOfAFewSamples) {
  for (const int samples : {5, 6, 18}) {
    const Json results = parse_json(
        expect_same(eval("--batch-size 2 --max-samples " + std::to_string(samples)), 3), "out");
    EXPECT_EQ(results["samples"], samples);
  }
}

TEST_F(RanksTest, ABrokenSampleIsNamedOnce) {
  const auto result = by(3, eval("--batch-size 4"));
  const std::string name = "b.tar#sample1019";
  const size_t first = result.err.find(name);
  ASSERT_NE(first, std::string::npos) << result.err;
  // Once more within the line, in the cause.
  EXPECT_EQ(result.err.find(name, result.err.find('\n', first)), std::string::npos) << result.err;
}

TEST_F(RanksTest, ADamagedShardIsCountedOnce) {
  const auto whole = read_file(folder_ / "data" / "a.tar");
  std::string damaged = whole;
  damaged.replace(damaged.size() / 2, 4000, std::string(4000, 'x'));
  write_file(folder_ / "data" / "a.tar", damaged);
  write_file(folder_ / "data" / "d.tar", std::string(2000, 'x'));
  const Json results = parse_json(expect_same(eval("--batch-size 4 --skip-bad-shards"), 3), "out");
  EXPECT_GE(results["skipped"]["shard cannot be read"], 1);
  const auto refused = by(3, eval("--batch-size 4"));
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(error_line(refused), HasSubstr(".tar"));
}

TEST_F(RanksTest, NotOneGoodSample) {
  auto records = fixtures::drawn_records(3);
  for (auto& record : records) record.image = "no picture";
  std::filesystem::create_directory(folder_ / "broken");
  fixtures::write_shard(folder_ / "broken" / "a.tar", records);
  const auto result =
      by(3, "eval --model " + at("model") + " --data " + at("broken") + " --threads 1");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(error_line(result), HasSubstr("3 image does not decode"));
}

TEST_F(RanksTest, EmbeddingsOfEverything) {
  write_file(folder_ / "boxes", R"({"image": ")" + at("q.png") +
                                    R"(", "box": [0.1, 0.2, 0.6, 0.9]})" + "\n" + R"({"image": ")" +
                                    at("r.png") + R"(", "box": [0.0, 0.0, 0.5, 0.5]})" + "\n");
  write_file(folder_ / "s.png", "no picture");
  const std::string inputs = "--texts " + at("texts") + " --images " + at("p.png") + " " +
                             at("s.png") + " " + at("q.png") + " --boxes " + at("boxes") +
                             " --data " + at("data") +
                             " --save-inputs --penultimate --tokens regions";
  for (const int processes : {1, 3, 4}) {
    const auto folder = folder_ / std::to_string(processes);
    std::filesystem::create_directory(folder);
    const auto result =
        by(processes, embed(inputs + " --out " + (folder / "out.safetensors").string()));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    Json summary = parse_json(result.out, "out");
    summary.erase("out");
    write_file(folder / "summary", dump_json(summary));
  }
  expect_same_files("1", "3");
  expect_same_files("1", "4");
  EXPECT_THAT(read_file(folder_ / "1" / "summary"), HasSubstr(R"("skipped_images":3)"));
}

TEST_F(RanksTest, EmbeddingsOfFewerPicturesThanProcesses) {
  for (const std::string& inputs : {"--images " + at("p.png"), "--texts " + at("texts")}) {
    for (const int processes : {1, 3}) {
      const auto folder = folder_ / std::to_string(processes);
      std::filesystem::create_directory(folder);
      const auto result =
          by(processes, embed(inputs + " --out " + (folder / "out.safetensors").string()));
      ASSERT_EQ(result.exit_code, 0) << result.err;
    }
    expect_same_files("1", "3");
  }
}

TEST_F(RanksTest, EmbeddingsOfReadyTensors) {
  ASSERT_EQ(
      by(1, embed("--images " + at("p.png") + " " + at("q.png") + " " + at("r.png") + " --texts " +
                  at("texts") + " --save-inputs --out " + at("inputs.safetensors")))
          .exit_code,
      0);
  for (const int processes : {1, 3}) {
    const auto folder = folder_ / std::to_string(processes);
    std::filesystem::create_directory(folder);
    const auto result = by(processes, embed("--tensors " + at("inputs.safetensors") + " --out " +
                                                (folder / "out.safetensors").string(),
                                            /*batch=*/1));
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  expect_same_files("1", "3");
}

TEST_F(RanksTest, FeaturesBesideTheSamples) {
  for (const int processes : {1, 3}) {
    const auto result =
        by(processes, embed("--data " + at("data") + " --layer -2 --tokens patch --append-to " +
                            at(std::to_string(processes))));
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  expect_same_files("1", "3");
  EXPECT_TRUE(std::filesystem::exists(folder_ / "3" / "00000.tar"));
}

TEST_F(RanksTest, ADifferentSettingIsNamed) {
  const auto said = two(eval("--batch-size 4"), eval("--batch-size 8"));
  for (const auto& text : {said.first, said.second})
    EXPECT_THAT(text, HasSubstr("rank 1 has 'batch-size = 8', rank 0 has 'batch-size = 4'"));
  EXPECT_EQ(read_file(folder_ / "code"), "2\n");
}

TEST_F(RanksTest, AnErrorOfOneProcessEndsAll) {
  const std::string eval = "eval --model " + at("model") + " --data data --threads 1";
  const auto said = two(eval, eval);
  EXPECT_THAT(said.second, HasSubstr("opencloc: error: "));
  EXPECT_THAT(said.first, HasSubstr("rank 1"));
  EXPECT_THAT(said.first, HasSubstr("data"));
  EXPECT_EQ(std::count(said.first.begin(), said.first.end(), '\n'), 1) << said.first;

  const std::string embed = "embed --model " + at("model") + " --data data --out out.safetensors";
  EXPECT_THAT(two(embed, embed).first, HasSubstr("rank 1"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out.safetensors"));
}

TEST_F(RanksTest, LabelSharesShards) {
  for (const int processes : {1, 3}) {
    const auto result =
        by(processes, "label --data " + at("data") + " --detector-kind none --threads 1 --out " +
                          at(std::to_string(processes)));
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  std::vector<std::string> names;
  for (const char* folder : {"1", "3"}) {
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / folder))
      if (entry.path().extension() == ".tar" || entry.path().extension() == ".zst")
        names.push_back(entry.path().filename().string());
  }
  EXPECT_EQ(names.size(), 6);
  for (const auto& name : names)
    EXPECT_TRUE(read_file(folder_ / "1" / name) == read_file(folder_ / "3" / name)) << name;
}

}  // namespace
}  // namespace opencloc

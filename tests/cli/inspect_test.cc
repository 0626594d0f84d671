// `opencloc inspect` from end to end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/data/shard/shard_writer.h"
#include "tests/api/tiny_model_directory.h"
#include "tests/cli/run_binary.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::error_line;
using fixtures::run_binary;
using fixtures::tiny_ppm;
using ::testing::HasSubstr;

class Inspect : public fixtures::BinaryTest {
 protected:
  Json found(const std::string& name) const {
    const auto result = run_binary("inspect --json " + at(name));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return parse_json(result.out, "stdout");
  }
  std::string described(const std::string& name) const {
    const auto result = run_binary("inspect " + at(name));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  }
};

TEST_F(Inspect, PicturesAreAnswersEvenWhenBroken) {
  write_file(folder_ / "a.ppm", tiny_ppm(30, 20));
  write_file(folder_ / "b.jpg", "no");
  const auto result = run_binary("inspect --json " + at("a.ppm") + " " + at("b.jpg"));
  EXPECT_EQ(result.exit_code, 0);
  const size_t end = result.out.find('\n');
  const Json good = parse_json(result.out.substr(0, end), "first"),
             bad = parse_json(result.out.substr(end + 1), "second");
  EXPECT_EQ(good["path"], at("a.ppm"));
  EXPECT_EQ(good["ok"], true);
  EXPECT_EQ(good["width"], 30);
  EXPECT_EQ(good["height"], 20);
  EXPECT_EQ(good["mode"], "RGB");
  EXPECT_EQ(bad["ok"], false);
  EXPECT_NE(bad["error"], "");
  EXPECT_THAT(described("a.ppm"), HasSubstr("30x20 RGB"));
}

TEST_F(Inspect, Shards) {
  {
    ShardSetWriter writer(folder_ / "shards");
    for (int i = 0; i < 3; ++i) {
      Record record;
      record.key = "k" + std::to_string(i);
      record.extension = "png";
      record.image = tiny_ppm(20, 20);
      record.caption = "a blue bus";
      record.regions.resize(2, {{0, 0, 0.5f, 0.5f}, "bus", 1, "human", Json::object()});
      writer.write(record);
    }
    writer.commit();
  }
  const Json all = found("shards");
  EXPECT_EQ(all["kind"], "shards");
  EXPECT_EQ(all["shards"], 1);
  EXPECT_EQ(all["samples"], 3);
  EXPECT_EQ(all["regions"], 6);
  EXPECT_EQ(all["texts"], 3);
  EXPECT_TRUE(all["skipped"].empty());
  const fs::path one = expand_glob(at("shards")).front();
  EXPECT_EQ(parse_json(run_binary("inspect --json " + one.string()).out, "x")["samples"], 3);
  EXPECT_THAT(described("shards"), HasSubstr("3 samples, 6 regions"));
}

TEST_F(Inspect, ModelDirectoriesAndTheirFiles) {
  fixtures::write_tiny_model(folder_ / "model");
  const Json model = found("model");
  EXPECT_EQ(model["kind"], "model");
  EXPECT_EQ(model["layout"], "open_clip");
  EXPECT_EQ(model["region_heads"], true);
  EXPECT_EQ(model["config"]["model_cfg"]["embed_dim"], 24);
  EXPECT_EQ(model["config"]["preprocess_cfg"]["resize_mode"], "longest");
  EXPECT_EQ(model["tokenizer"]["files"][0], "tokenizer.model");
  const Json towers = found("model/open_clip_model.safetensors"),
             heads = found("model/cloc_heads.safetensors");
  EXPECT_EQ(towers["kind"], "safetensors");
  EXPECT_EQ(towers["dtypes"]["F32"], towers["tensors"].size());
  EXPECT_EQ(model["parameters"].get<int64_t>(),
            towers["parameters"].get<int64_t>() + heads["parameters"].get<int64_t>());
  EXPECT_THAT(described("model"), HasSubstr("width 32, 2 layers"));
  EXPECT_THAT(described("model/cloc_heads.safetensors"), HasSubstr("region_logit_scale"));
}

TEST_F(Inspect, ARunPointsToItsModelAndCheckpoints) {
  fixtures::write_tiny_model(folder_ / "run/model");
  fs::create_directories(folder_ / "run/checkpoints/step-7");
  write_file(folder_ / "run/metrics.jsonl", "{\"step\": 1}\n{\"step\": 2, \"loss\": 0.5}\n");
  const Json run = found("run");
  EXPECT_EQ(run["kind"], "run");
  EXPECT_EQ(run["checkpoints"][0], "step-7");
  EXPECT_EQ(run["last_metrics"]["loss"], 0.5);
  EXPECT_EQ(run["model"]["layout"], "open_clip");
  EXPECT_THAT(described("run"), HasSubstr("step-7"));
}

TEST_F(Inspect, WhatCannotBeUsedIsAnError) {
  fixtures::write_tiny_model(folder_ / "model");
  fs::create_directories(folder_ / "empty");
  write_file(folder_ / "bad.tar", std::string(2000, 'x'));
  write_file(folder_ / "bad.safetensors", "12345678{}");
  write_file(folder_ / "model/open_clip_config.json", "{");
  for (const char* name : {"absent.jpg", "empty", "bad.tar", "bad.safetensors", "model"}) {
    const auto result = run_binary("inspect " + at(name));
    EXPECT_EQ(result.exit_code, 2) << name;
    EXPECT_THAT(error_line(result), HasSubstr(name)) << name;
  }
  EXPECT_EQ(run_binary("inspect").exit_code, 2);
}

}  // namespace
}  // namespace opencloc

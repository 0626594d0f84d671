// `opencloc embed` as a feature extractor: tokens of a layer, other image sizes, regions, shards.
#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/data/shard/shard_reader.h"
#include "opencloc/data/shard/shard_writer.h"
#include "opencloc/model/cloc/cloc.h"
#include "tests/api/tiny_model_directory.h"
#include "tests/cli/run_binary.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::error_line;
using fixtures::run_binary;
using fixtures::tiny_ppm;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class EmbedFeatures : public fixtures::BinaryTest {
 protected:
  void SetUp() override {
    fixtures::write_tiny_model(folder_ / "model");
    write_file(folder_ / "a.ppm", tiny_ppm(30, 20));
    write_file(folder_ / "b.ppm", tiny_ppm(16, 40));
  }
  fixtures::RunResult embed(const std::string& flags) const {
    return run_binary("embed --model " + at("model") + " " + flags);
  }
  SafetensorsFile out(const std::string& flags) const {
    const auto result = embed("--out " + at("out.safetensors") + " " + flags);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return SafetensorsFile(folder_ / "out.safetensors");
  }
};

TEST_F(EmbedFeatures, PatchTokensOfALayer) {
  const std::string images = "--images " + at("a.ppm") + " " + at("b.ppm");
  const auto file = out(images + " --layer -2 --tokens patch --penultimate");
  EXPECT_THAT(file.tensor("image_tokens").sizes().vec(), ElementsAre(2, 16, 32));
  EXPECT_TRUE(torch::equal(file.tensor("image_tokens"),
                           file.tensor("vision_penultimate_hidden").slice(1, 1)));
  const auto penultimate = file.tensor("vision_penultimate_hidden").clone();
  EXPECT_TRUE(torch::equal(out(images + " --tokens cls_patch").tensor("image_tokens"), penultimate))
      << "-2 is the default";
  const auto last = out(images + " --layer -1");
  EXPECT_THAT(last.tensor("image_tokens").sizes().vec(), ElementsAre(2, 16, 32));
  EXPECT_FALSE(torch::equal(last.tensor("image_tokens"), penultimate.slice(1, 1)));
  EXPECT_EQ(out(images).find("image_tokens"), nullptr);
}

TEST_F(EmbedFeatures, AtAnotherImageSize) {
  const auto file =
      out("--images " + at("a.ppm") + " --tokens patch --image-size 56 --save-inputs");
  EXPECT_THAT(file.tensor("pixel_values").sizes().vec(), ElementsAre(1, 3, 56, 56));
  EXPECT_THAT(file.tensor("image_tokens").sizes().vec(), ElementsAre(1, 49, 32));
}

TEST_F(EmbedFeatures, RegionTokensAreThePromptersOutput) {
  write_file(folder_ / "boxes.jsonl",
             "{\"image\": \"" + at("a.ppm") + "\", \"box\": [0, 0.5, 1, 1]}\n");
  const auto file = out("--boxes " + at("boxes.jsonl") + " --tokens regions");
  const auto tokens = file.tensor("region_tokens");
  EXPECT_THAT(tokens.sizes().vec(), ElementsAre(1, 24));
  EXPECT_TRUE(torch::equal(normalized(tokens), file.tensor("region_embeds")));
  EXPECT_GT((tokens.norm() - 1).abs().item<double>(), 1e-3);
}

TEST_F(EmbedFeatures, AreAppendedToShards) {
  {
    ShardSetWriter writer(folder_ / "shards");
    for (int i = 0; i < 3; ++i) {
      Record record;
      record.key = "k" + std::to_string(i);
      record.extension = "png";
      record.image = i == 1 ? "broken" : tiny_ppm(20, 20);
      record.caption = "a blue bus";
      record.extra["note"] = i;
      record.others = {{"cls", "7"}};
      record.regions = {{{0, 0, 0.5f, 0.5f}, "bus", 1, "human", Json::object()}};
      if (i == 2) record.regions.push_back({{0.5f, 0, 1, 1}, "sky", 1, "human", Json::object()});
      writer.write(record);
    }
    writer.commit();
  }
  const auto whole = out("--data " + at("shards") + " --tokens patch");
  const auto result = embed("--data " + at("shards") + " --tokens patch --append-to " + at("more"));
  ASSERT_EQ(result.exit_code, 0) << result.err;

  SkipCounter skips;
  ShardReader reader(at("more/00000.tar"), skips, {.keep_other_members = true});
  std::vector<Record> records;
  for (Record record; reader.next(record);) records.push_back(record);
  ASSERT_EQ(records.size(), 3U);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(records[i].key, "k" + std::to_string(i));
    EXPECT_EQ(records[i].extra["note"], i);
    ASSERT_EQ(records[i].others.size(), i == 1 ? 1U : 2U) << "a broken picture has no features";
    EXPECT_EQ(records[i].others[0].bytes, "7");
    if (i == 1) continue;
    EXPECT_EQ(records[i].others[1].extension, "safetensors");
    write_file(folder_ / "one.safetensors", records[i].others[1].bytes);
    const SafetensorsFile one(folder_ / "one.safetensors");
    const int64_t row = i == 0 ? 0 : 1;
    EXPECT_TRUE(torch::equal(one.tensor("image_tokens"), whole.tensor("image_tokens")[row]));
    EXPECT_TRUE(torch::equal(one.tensor("image_embeds"), whole.tensor("image_embeds")[row]));
    const auto regions = i == 0 ? whole.tensor("region_embeds").slice(0, 0, 1)
                                : whole.tensor("region_embeds").slice(0, 1, 3);
    EXPECT_TRUE(torch::equal(one.tensor("region_embeds"), regions));
    EXPECT_EQ(one.tensor("region_index").size(0), i == 0 ? 1 : 2);
    EXPECT_EQ(one.tensor("region_index")[-1].item<int64_t>(), i == 0 ? 0 : 1);
  }
  // Once more over the result: the features are replaced, not doubled.
  EXPECT_EQ(embed("--data " + at("more") + " --append-to " + at("again")).exit_code, 0);
  ShardReader again(at("again/00000.tar"), skips, {.keep_other_members = true});
  Record record;
  ASSERT_TRUE(again.next(record));
  EXPECT_EQ(record.others.size(), 2U);
}

TEST_F(EmbedFeatures, WhatMakesNoSenseIsOneLine) {
  const std::string to = " --out " + at("out.safetensors"), image = "--images " + at("a.ppm");
  const std::pair<std::string, const char*> cases[] = {
      {image + to + " --layer -4", "no layer -4"},
      {image + to + " --layer 3 --tokens patch", "no layer 3"},
      {image + to + " --layer 1 --penultimate", "--penultimate"},
      {image + to + " --image-size 33", "no multiple of 8"},
      {image, "--append-to"},
      {image + " --append-to " + at("x"), "--data alone"},
      {"--data x" + to + " --append-to " + at("x"), "one of the two"},
      {image + to + " --tokens words", "--tokens"},
  };
  for (const auto& [flags, message] : cases) {
    const auto result = embed(flags);
    EXPECT_EQ(result.exit_code, 2) << flags;
    EXPECT_THAT(error_line(result), HasSubstr(message)) << flags;
    EXPECT_FALSE(fs::exists(folder_ / "x")) << flags;
  }
}

// LLaVA's features of the reference model: hidden_states[-2] without the class token.
TEST_F(EmbedFeatures, ReferenceVectors) {
  const char* given = std::getenv("OPENCLOC_TEST_DATA");
  const auto parity = (given != nullptr ? fs::path(given)
                                        : fs::path(OPENCLOC_SOURCE_DIR).parent_path() / "shared") /
                      "parity" / "clip-tiny";
  if (!fs::exists(parity))
    GTEST_SKIP() << "no reference vectors in " << parity << " (set OPENCLOC_TEST_DATA)";
  const SafetensorsFile expected(parity / "expected.safetensors");
  write_safetensors(folder_ / "in.safetensors",
                    {{"pixel_values", expected.tensor("pixel_values").clone()}});
  for (const char* layout : {"open_clip", "hf"}) {
    const auto result = run_binary("embed --model " + (parity / layout).string() + " --tensors " +
                                   at("in.safetensors") + " --layer -2 --tokens patch --out " +
                                   at("out.safetensors"));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const SafetensorsFile file(folder_ / "out.safetensors");
    const auto wanted = expected.tensor("vision_penultimate_hidden").slice(1, 1);
    ASSERT_EQ(file.tensor("image_tokens").sizes(), wanted.sizes());
    const double distance = (file.tensor("image_tokens") - wanted).abs().max().item<double>();
    EXPECT_LE(distance, 1e-5);
    RecordProperty(layout, std::to_string(distance));
  }
}

}  // namespace
}  // namespace opencloc

// `opencloc embed` from end to end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/data/shard/shard_writer.h"
#include "opencloc/image/encode.h"
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

std::vector<Json> json_lines(const fs::path& path) {
  std::vector<Json> lines;
  std::istringstream text(read_file(path));
  for (std::string line; std::getline(text, line);)
    lines.push_back(parse_json(line, path.string()));
  return lines;
}

class Embed : public fixtures::BinaryTest {
 protected:
  void SetUp() override {
    fixtures::write_tiny_model(folder_ / "model");
    write_file(folder_ / "a.ppm", tiny_ppm(30, 20));
    write_file(folder_ / "broken.jpg", "no");
    write_file(folder_ / "b.ppm", tiny_ppm(16, 40));
  }
  fixtures::RunResult embed(const std::string& flags, const std::string& model = "model") const {
    return run_binary("embed --model " + at(model) + " --out " + at("out.safetensors") + " " +
                      flags);
  }
  SafetensorsFile out() const { return SafetensorsFile(folder_ / "out.safetensors"); }
  bool nothing_written() const {
    return !fs::exists(folder_ / "out.safetensors") &&
           !fs::exists(folder_ / "out.safetensors.rows.jsonl");
  }
};

TEST_F(Embed, PicturesTextsAndRegionsStayAligned) {
  write_file(folder_ / "texts.txt", "a red car\n\ntwo dogs");
  write_file(folder_ / "boxes.jsonl",
             "{\"image\": \"" + at("b.ppm") + "\", \"box\": [0, 0.5, 1, 1], \"text\": \"dog\"}\n" +
                 "{\"image\": \"" + at("a.ppm") + "\", \"box\": [0.1, 0.1, 0.6, 0.9]}\n");
  const auto result = embed("--images " + at("a.ppm") + " " + at("broken.jpg") + " " + at("b.ppm") +
                            " --texts " + at("texts.txt") + " --boxes " + at("boxes.jsonl") +
                            " --save-inputs --penultimate --json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json summary = parse_json(result.out, "stdout");
  EXPECT_EQ(summary["images"], 2);
  EXPECT_EQ(summary["texts"], 3);
  EXPECT_EQ(summary["regions"], 2);
  EXPECT_EQ(summary["skipped_images"], 1);
  EXPECT_THAT(result.err, HasSubstr("broken.jpg"));

  const auto file = out();
  EXPECT_THAT(file.tensor("image_embeds").sizes().vec(), ElementsAre(2, 24));
  EXPECT_THAT(file.tensor("text_embeds").sizes().vec(), ElementsAre(3, 24));
  EXPECT_THAT(file.tensor("region_embeds").sizes().vec(), ElementsAre(2, 24));
  EXPECT_THAT(file.tensor("pixel_values").sizes().vec(), ElementsAre(2, 3, 32, 32));
  EXPECT_THAT(file.tensor("input_ids").sizes().vec(), ElementsAre(3, 16));
  EXPECT_THAT(file.tensor("vision_penultimate_hidden").sizes().vec(), ElementsAre(2, 17, 32));
  EXPECT_TRUE(torch::equal(file.tensor("image_index"), torch::tensor({0, 2}, torch::kInt64)));
  EXPECT_TRUE(torch::equal(file.tensor("region_image"), torch::tensor({0, 1}, torch::kInt64)));
  EXPECT_EQ(file.metadata("region_method"), "prompter");
  for (const char* name : {"image_embeds", "text_embeds", "region_embeds"}) {
    EXPECT_TRUE(torch::allclose(file.tensor(name).norm(2, 1),
                                torch::ones({file.tensor(name).size(0)}), 1e-5, 1e-5))
        << name;
  }

  int skipped = 0;
  for (const Json& line : json_lines(folder_ / "out.safetensors.rows.jsonl")) {
    if (line.contains("skipped")) {
      ++skipped;
      EXPECT_EQ(line["skipped"], at("broken.jpg"));
      EXPECT_EQ(line["index"], 1);
    } else if (line["tensor"] == "image_embeds") {
      EXPECT_EQ(line["image"], at(line["row"] == 0 ? "a.ppm" : "b.ppm"));
    } else if (line["tensor"] == "region_embeds") {
      EXPECT_EQ(line["image"], at(line["row"] == 0 ? "a.ppm" : "b.ppm"));
      EXPECT_EQ(line.contains("text"), line["row"] == 1);
    }
  }
  EXPECT_EQ(skipped, 1);
}

TEST_F(Embed, BatchesAndSavedInputsGiveTheSameNumbers) {
  const std::string inputs = "--images " + at("a.ppm") + " " + at("b.ppm");
  write_file(folder_ / "texts.txt", "a red car\nthe street\n");
  ASSERT_EQ(
      embed(inputs + " --texts " + at("texts.txt") + " --save-inputs --batch-size 1").exit_code, 0);
  const auto first = out();
  const auto images = first.tensor("image_embeds").clone(),
             texts = first.tensor("text_embeds").clone();
  ASSERT_EQ(embed(inputs + " --texts " + at("texts.txt")).exit_code, 0);
  EXPECT_TRUE(torch::allclose(out().tensor("image_embeds"), images, 1e-5, 1e-6));

  write_safetensors(folder_ / "inputs.safetensors",
                    {{"pixel_values", first.tensor("pixel_values").clone()},
                     {"input_ids", first.tensor("input_ids").clone()}});
  fs::remove(folder_ / "out.safetensors.rows.jsonl");
  ASSERT_EQ(embed("--tensors " + at("inputs.safetensors")).exit_code, 0);
  const auto again = out();
  EXPECT_TRUE(torch::allclose(again.tensor("image_embeds"), images, 1e-5, 1e-6));
  EXPECT_TRUE(torch::allclose(again.tensor("text_embeds"), texts, 1e-5, 1e-6));
  EXPECT_NE(again.find("vision_penultimate_hidden"), nullptr);
  EXPECT_FALSE(fs::exists(folder_ / "out.safetensors.rows.jsonl"));  // tensors have no names
}

TEST_F(Embed, DraftDecodingGivesNearlyTheSameNumbers) {
  Image photo(320, 240);
  for (int y = 0; y < photo.height; ++y) {
    for (int i = 0; i < 3 * photo.width; ++i)
      photo.row(y)[i] = static_cast<uint8_t>((i / 7 * 5 + y / 9 * 11) % 256);
  }
  write_file(folder_ / "photo.jpg", encode_jpeg(photo, 90));
  const std::string input = "--images " + at("photo.jpg") + " --save-inputs";
  ASSERT_EQ(embed(input).exit_code, 0);
  const auto pixels = out().tensor("pixel_values").clone(),
             exact = out().tensor("image_embeds").clone();
  ASSERT_EQ(embed(input + " --jpeg-draft").exit_code, 0);
  EXPECT_FALSE(torch::equal(out().tensor("pixel_values"), pixels));
  EXPECT_GT((out().tensor("image_embeds") * exact).sum().item<float>(), 0.99);
}

TEST_F(Embed, ShardsGivePicturesCaptionsAndRegions) {
  {
    ShardSetWriter writer(folder_ / "shards");
    for (int i = 0; i < 3; ++i) {
      Record record;
      record.key = "k" + std::to_string(i);
      record.extension = "png";
      record.image = i == 1 ? "broken" : tiny_ppm(20, 20);
      record.caption = "a blue bus";
      record.regions = {{{0, 0, 0.5f, 0.5f}, "bus", 1, "human", Json::object()}};
      writer.write(record);
    }
    writer.commit();
  }
  const auto result = embed("--data " + at("shards") + " --json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto file = out();
  EXPECT_EQ(file.tensor("image_embeds").size(0), 2);
  EXPECT_EQ(file.tensor("text_embeds").size(0), 2);
  EXPECT_EQ(file.tensor("region_embeds").size(0), 2);
  EXPECT_TRUE(torch::equal(file.tensor("image_index"), torch::tensor({0, 2}, torch::kInt64)));
}

TEST_F(Embed, PlainClipTakesRoiAlignedTokens) {
  fixtures::write_tiny_model(folder_ / "clip", {.region_heads = false});
  write_file(folder_ / "boxes.jsonl",
             "{\"image\": \"" + at("a.ppm") + "\", \"box\": [0, 0, 0.5, 1]}\n");
  const auto result = embed("--boxes " + at("boxes.jsonl"), "clip");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(out().metadata("region_method"), "image_roi_align");
  EXPECT_EQ(out().tensor("region_embeds").size(0), 1);
}

TEST_F(Embed, ARegionTheCanvasCutsOffIsListed) {
  fixtures::write_tiny_model(folder_ / "cropping", {.canvas = CanvasRule::kShortest});
  write_file(folder_ / "wide.ppm", tiny_ppm(90, 30));
  write_file(folder_ / "boxes.jsonl", "{\"image\": \"" + at("wide.ppm") +
                                          "\", \"box\": [0, 0, 0.2, 1]}\n" + "{\"image\": \"" +
                                          at("wide.ppm") + "\", \"box\": [0.4, 0, 0.6, 1]}\n");
  const auto result = embed("--json --boxes " + at("boxes.jsonl"), "cropping");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(parse_json(result.out, "stdout")["skipped_regions"], 1);
  EXPECT_EQ(out().tensor("region_embeds").size(0), 1);
}

TEST_F(Embed, UnusableInputIsOneLineAndLeavesNothing) {
  write_file(folder_ / "outside.jsonl", "{\"image\": \"" + at("a.ppm") + "\", \"box\": [2,2,3,3]}");
  write_file(folder_ / "noimage.jsonl", "{\"box\": [0,0,1,1]}");
  write_file(folder_ / "bad.jsonl", "{\"image\": ");
  write_safetensors(folder_ / "pixels.safetensors", {{"pixel_values", torch::zeros({1, 3, 8, 8})}});
  write_safetensors(folder_ / "ids.safetensors",
                    {{"input_ids", torch::full({1, 4}, 1 << 20, torch::kInt64)}});
  write_safetensors(folder_ / "none.safetensors", {{"x", torch::zeros({1})}});
  const std::pair<const char*, const char*> cases[] = {
      {"", "nothing to embed"},
      {"--images /absent.jpg", "no such picture"},
      {"--images broken.jpg", "not one picture"},
      {"--boxes outside.jsonl", "outside.jsonl:1"},
      {"--boxes noimage.jsonl", "noimage.jsonl:1"},
      {"--boxes bad.jsonl", "bad.jsonl:1"},
      {"--tensors pixels.safetensors", "[1, 3, 8, 8]"},
      {"--tensors ids.safetensors", "input_ids"},
      {"--tensors none.safetensors", "neither pixel_values"},
      {"--tensors none.safetensors --images a.ppm", "stand alone"},
      {"--data absent", "no file matches"},
      {"--precision fp8 --images a.ppm", "--precision"},
  };
  for (const auto& [flags, message] : cases) {
    std::string line(flags);
    if (const size_t space = line.find(' '); space != std::string::npos && line[space + 1] != '/')
      line.insert(space + 1, line.starts_with("--precision") ? "" : folder_.path().string() + "/");
    const auto result = embed(line);
    EXPECT_EQ(result.exit_code, 2) << flags;
    EXPECT_THAT(error_line(result), HasSubstr(message)) << flags;
    EXPECT_TRUE(nothing_written()) << flags;
  }
  EXPECT_EQ(embed("--images " + at("a.ppm"), "absent").exit_code, 2);
}

TEST_F(Embed, TextsNeedATokenizer) {
  fs::copy(folder_ / "model", folder_ / "mute");
  fs::rename(folder_ / "mute/tokenizer.model", folder_ / "pieces.model");
  write_file(folder_ / "texts.txt", "a red car\n");
  const auto without = embed("--texts " + at("texts.txt"), "mute");
  EXPECT_EQ(without.exit_code, 2);
  EXPECT_THAT(error_line(without), HasSubstr("--tokenizer"));
  const auto with =
      embed("--texts " + at("texts.txt") + " --tokenizer " + at("pieces.model"), "mute");
  EXPECT_EQ(with.exit_code, 0) << with.err;
}

}  // namespace
}  // namespace opencloc

// `opencloc convert` and what `inspect` says of its results.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/checkpoint/file/safetensors.h"
#include "tests/api/tiny_model_directory.h"
#include "tests/cli/run_binary.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::run_binary;
using ::testing::HasSubstr;

class Convert : public fixtures::BinaryTest {
 protected:
  void SetUp() override { fixtures::write_tiny_model(folder_ / "model"); }
  // The one JSON object it prints.
  Json convert(const std::string& in, const std::string& out, const std::string& flags) const {
    const auto result = run_binary("convert --json " + at(in) + " " + at(out) + " " + flags);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return parse_json(result.out, "stdout");
  }
  static std::string refused(const std::string& arguments) {
    return BinaryTest::refused("convert " + arguments);
  }
};

TEST_F(Convert, AWholeTripKeepsEveryByteOfTheWeights) {
  convert("model", "hf", "--to hf");
  convert("hf", "gguf", "--to gguf");
  convert("gguf", "openai", "--to openai --dtype f32");
  const Json last = convert("openai", "back", "--to opencloc");
  EXPECT_EQ(last["from"], "openai");
  EXPECT_EQ(last["left_behind"], Json::array());
  for (const char* name : {"open_clip_model.safetensors", "cloc_heads.safetensors",
                           "open_clip_config.json", "cloc_config.json", "tokenizer.model"}) {
    EXPECT_EQ(read_file(folder_ / "back" / name), read_file(folder_ / "model" / name)) << name;
  }
}

TEST_F(Convert, SingleFilesSayWhatTheyLeaveBehind) {
  const Json gguf = convert("model", "m.gguf", "--to gguf --dtype q8_0");
  EXPECT_EQ(gguf["left_behind"], Json({"the region heads"}));
  const auto text = run_binary("inspect " + at("m.gguf"));
  EXPECT_THAT(text.out, HasSubstr("clip.cpp's two towers"));
  EXPECT_THAT(text.out, HasSubstr("tokenizer  tokenizer.model"));
  const Json openai = convert("m.gguf", "m.safetensors", "--to openai");
  EXPECT_EQ(openai["dtype"], "f16");
  EXPECT_EQ(openai["left_behind"], Json({"the tokenizer"}));
}

TEST_F(Convert, TheImageTowerAlone) {
  const Json hf = convert("model", "tower", "--to hf --vision-only");
  EXPECT_EQ(hf["tensors"], 2 * 16 + 7);
  EXPECT_EQ(hf["left_behind"],
            Json({"the text tower", "the image projection", "the region heads", "the tokenizer"}));
  EXPECT_THAT(run_binary("inspect " + at("tower")).out, HasSubstr("none: an image tower alone"));
  convert("tower", "tower.gguf", "--to gguf --vision-only");
  EXPECT_THAT(refused(at("tower") + " " + at("x") + " --to hf"), HasSubstr("image tower alone"));
}

TEST_F(Convert, WrongUseIsRefusedAndNothingIsOverwritten) {
  const std::string model = at("model");
  EXPECT_THAT(refused(model + " " + model + " --to hf"), HasSubstr("made from"));
  EXPECT_THAT(refused(model + "/open_clip_model.safetensors " + model + " --to hf"),
              HasSubstr("made from"));
  write_file(folder_ / "mine" / "letter.txt", "keep me");
  EXPECT_THAT(refused(model + " " + at("mine") + " --to hf"), HasSubstr("is no model"));
  EXPECT_EQ(read_file(folder_ / "mine" / "letter.txt"), "keep me");
  EXPECT_THAT(refused(model + " " + at("x") + " --to hf --dtype q8_0"), HasSubstr("only GGUF"));
  EXPECT_THAT(refused(model + " " + at("x") + " --to hf --projector p"), HasSubstr("projector"));
  EXPECT_THAT(refused(model + " " + at("x") + " --to openai --vision-only"),
              HasSubstr("no image tower alone"));
  EXPECT_THAT(refused(at("nowhere") + " " + at("x") + " --to hf"), HasSubstr("nowhere"));
  EXPECT_EQ(run_binary("convert " + model + " " + at("x") + " --to tflite").exit_code, 2);
  EXPECT_FALSE(fs::exists(folder_ / "x"));
}

TEST_F(Convert, OtherVerbsReadTheResult) {
  convert("model", "m.gguf", "--to gguf");
  write_file(folder_ / "texts", "a red car\ntwo dogs\n");
  for (const char* name : {"model", "m.gguf"}) {
    const auto result = run_binary("embed --model " + at(name) + " --texts " + at("texts") +
                                   " --out " + at(std::string(name) + ".out"));
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  EXPECT_TRUE(torch::equal(SafetensorsFile(folder_ / "model.out").tensor("text_embeds"),
                           SafetensorsFile(folder_ / "m.gguf.out").tensor("text_embeds")));
}

TEST(Architectures, AreListedWithTheSizesOpenClipPublishes) {
  const auto result = run_binary("inspect --architectures --json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  std::map<std::string, Json> lines;
  for (size_t at = 0; at < result.out.size();) {
    const size_t end = result.out.find('\n', at);
    const Json line = parse_json(result.out.substr(at, end - at), "line");
    lines[line["name"].get<std::string>()] = line;
    at = end + 1;
  }
  // Millions of parameters, from open_clip's docs/model_profile.csv; of the last three from its
  // classes.
  for (const auto& [name, millions] :
       {std::pair{"ViT-B-32", 151.28}, std::pair{"ViT-B-16", 149.62}, std::pair{"ViT-L-14", 427.62},
        std::pair{"ViT-H-14", 986.11}, std::pair{"ViT-g-14", 1366.68},
        std::pair{"ViT-bigG-14", 2539.57}, std::pair{"ViT-B-16-plus-240", 208.38},
        std::pair{"PE-Core-T-16-384", 69.546}, std::pair{"PE-Core-B-16", 447.661},
        std::pair{"ViT-B-16-SigLIP", 203.156}}) {
    ASSERT_TRUE(lines.contains(name)) << name;
    EXPECT_NEAR(lines[name]["parameters"].get<double>() / 1e6, millions, 0.01) << name;
  }
  EXPECT_EQ(lines["ViT-L-14-quickgelu"]["activation"], "quick_gelu");
  EXPECT_THAT(run_binary("inspect --architectures").out, HasSubstr("ViT-bigG-14"));
  EXPECT_EQ(run_binary("inspect").exit_code, 2);
}

}  // namespace
}  // namespace opencloc

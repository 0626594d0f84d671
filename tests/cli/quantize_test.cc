// `opencloc convert --quantize int8` and what the verbs make of its result.
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

class Quantize : public fixtures::BinaryTest {
 protected:
  void SetUp() override {
    fixtures::write_tiny_model(folder_ / "model");
    ASSERT_EQ(run("data scenes --count 12 --size 64 --names 20 --seed 1 --out " + at("scenes")), 0);
  }
  int run(const std::string& arguments) const {
    const auto result = run_binary(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.exit_code;
  }
  void quantize() const {
    run("convert " + at("model") + " " + at("small") + " --to opencloc --quantize int8");
  }
};

TEST_F(Quantize, ReportsWhatItLosesOnTheDataGiven) {
  const auto result =
      run_binary("convert --json " + at("model") + " " + at("small") +
                 " --to opencloc --quantize int8 --data " + at("scenes") + " --max-samples 10");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json line = parse_json(result.out, "stdout");
  EXPECT_EQ(line["quantization"], "int8");
  const Json& loss = line["loss"];
  EXPECT_EQ(loss["samples"], 10);
  for (const char* name : {"image_embeds", "text_embeds", "region_embeds"}) {
    ASSERT_TRUE(loss["cosine"].contains(name)) << name;
    const double worst = loss["cosine"][name]["worst"], mean = loss["cosine"][name]["mean"];
    EXPECT_GT(worst, 0.97) << name;
    EXPECT_GE(mean, worst);
    EXPECT_LT(mean, 1.0) << "nothing was quantised";
  }
  EXPECT_EQ(loss["cosine"]["image_embeds"]["n"], 10);
  for (const char* when : {"before", "after"})
    EXPECT_TRUE(loss[when]["retrieval"].contains("image_retrieval_recall@1")) << when;
  const auto text = run_binary("convert " + at("model") + " " + at("small") +
                               " --to opencloc --quantize int8 --data " + at("scenes"));
  ASSERT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("int8 against F32"));
  EXPECT_THAT(text.out, HasSubstr("retrieval image_retrieval_recall@1"));
}

TEST_F(Quantize, EveryVerbReadsTheResult) {
  quantize();
  EXPECT_THAT(run_binary("inspect " + at("small")).out, HasSubstr("weights    int8"));
  EXPECT_EQ(parse_json(run_binary("inspect --json " + at("small")).out, "")["quantization"],
            "int8");
  for (const char* precision : {"fp32", "bf16"}) {
    const auto result = run_binary("eval --model " + at("small") + " --data " + at("scenes") +
                                   " --json --precision " + precision);
    EXPECT_EQ(parse_json(result.out, "eval")["precision"], precision);
    run("embed --model " + at("small") + " --data " + at("scenes") + " --precision " + precision +
        " --out " + at(precision));
  }
  run("embed --model " + at("model") + " --data " + at("scenes") + " --out " + at("f32"));
  const SafetensorsFile small(at("fp32")), half(at("bf16")), whole(at("f32"));
  for (const char* name : {"image_embeds", "text_embeds", "region_embeds"}) {
    const auto wanted = whole.tensor(name);
    EXPECT_GT((small.tensor(name) * wanted).sum(1).min().item<double>(), 0.97) << name;
    EXPECT_GT((half.tensor(name) * wanted).sum(1).min().item<double>(), 0.97) << name;
  }
  run("embed --model " + at("small") + " --data " + at("scenes") + " --image-size 64 --out " +
      at("larger"));
  run("convert " + at("small") + " " + at("copy") + " --to opencloc");
  EXPECT_EQ(read_file(folder_ / "copy" / "open_clip_model.safetensors"),
            read_file(folder_ / "small" / "open_clip_model.safetensors"));
}

TEST_F(Quantize, WrongUseIsRefused) {
  quantize();
  const std::string model = at("model"), small = at("small"), x = " " + at("x");
  for (const char* layout : {"open_clip", "hf", "openai", "gguf"}) {
    EXPECT_THAT(refused("convert " + small + x + " --to " + layout), HasSubstr("8 bits already"));
    EXPECT_THAT(refused("convert " + model + x + " --quantize int8 --to " + layout),
                HasSubstr("--to opencloc"));
  }
  EXPECT_THAT(refused("convert " + small + x + " --to opencloc --quantize int8"),
              HasSubstr("quantised already"));
  EXPECT_THAT(refused("convert " + small + x + " --to opencloc --dtype f16"), HasSubstr("--dtype"));
  EXPECT_THAT(refused("convert " + model + x + " --to opencloc --quantize int8 --dtype f16"),
              HasSubstr("--dtype"));
  EXPECT_THAT(refused("convert " + model + x + " --to opencloc --data " + at("scenes")),
              HasSubstr("--quantize int8"));
  EXPECT_THAT(refused("convert " + model + x + " --to opencloc --quantize int8 --max-samples -3"),
              HasSubstr("--max-samples: \"-3\" is not a number of at least 0"));
  EXPECT_THAT(
      refused("convert " + model + x + " --to opencloc --quantize int8 --data " + at("nowhere")),
      HasSubstr("nowhere"));
  EXPECT_EQ(run_binary("convert " + model + x + " --to opencloc --quantize int4").exit_code, 2);
  EXPECT_THAT(refused("train --init " + small + " --steps 1 --data " + at("scenes") + " --out" + x),
              HasSubstr("cannot be trained"));
  ASSERT_EQ(run_binary("convert " + model + " " + at("tower") + " --to hf --vision-only").exit_code,
            0);
  EXPECT_THAT(
      refused("train --init " + at("tower") + " --steps 1 --data " + at("scenes") + " --out" + x),
      HasSubstr("image tower alone"));
  EXPECT_FALSE(fs::exists(folder_ / "x"));
}

}  // namespace
}  // namespace opencloc

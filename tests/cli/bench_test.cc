// `bench` prints what the interface promises: one JSON object a figure, with rates that are
// numbers.
#include <map>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/json.h"
#include "tests/cli/run_binary.h"

namespace opencloc {
namespace {

std::map<std::string, Json> lines_of(const std::string& arguments) {
  const auto result = fixtures::run_binary("bench " + arguments + " --seconds 0.01 --json");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  std::map<std::string, Json> lines;
  std::istringstream text(result.out);
  for (std::string line; std::getline(text, line);) {
    const Json figure = parse_json(line, "bench");
    lines[figure.at("name").get<std::string>()] = figure;
  }
  return lines;
}

std::map<std::string, Json> figures(const std::string& arguments) {
  auto lines = lines_of(arguments);
  for (const auto& [name, figure] : lines)
    EXPECT_GT(figure.at("items_per_s").get<double>(), 0) << name;
  return lines;
}

TEST(Bench, ProductsHaveRatesAndShareOfPeak) {
  const auto lines = figures("gemm");
  EXPECT_EQ(lines.size(), 8u * 2u * 3u);  // shapes, precisions, products
  const Json& bf16 = lines.at("gemm/bf16/forward/4160x576x192");
  EXPECT_GT(bf16.at("gflops").get<double>(), 0);
  EXPECT_GT(bf16.at("share_of_peak").get<double>(), 0);
  EXPECT_GT(lines.at("gemm/fp32/dw/4160x576x192").at("share_of_peak").get<double>(), 0);
}

TEST(Bench, ATowerOnPlainTorchAndOnOurOps) {
  const auto lines = figures("tower");
  for (const char* kind : {"torch-fp32", "fp32", "bf16"}) {
    EXPECT_TRUE(lines.contains(std::string("tower/w192-l6-t65-b64/") + kind)) << kind;
  }
}

TEST(Bench, EncodesInEveryPrecision) {
  const auto lines = figures("encode text --model ViT-XXS-16-96 --batch 2");
  for (const char* tower : {"encode", "text"}) {
    for (const char* precision : {"bf16", "int8", "fp32"}) {
      const Json& line = lines.at(std::string(tower) + "/ViT-XXS-16-96/" + precision + "/b2");
      EXPECT_GT(line.at("gflops").get<double>(), 0);
      EXPECT_GT(line.at("share_of_peak").get<double>(), 0);
    }
  }
}

TEST(Bench, LoadsAServerWithEveryKindOfRequest) {
  const auto lines = figures("serve --model ViT-XXS-16-96 --index-rows 100 --clients 1,2");
  EXPECT_EQ(lines.size(), 5u * 2u);
  for (const auto& [name, line] : lines) {
    EXPECT_GE(line.at("p99_ms").get<double>(), line.at("p50_ms").get<double>()) << name;
    EXPECT_EQ(line.at("refused").get<int>(), 0) << name;
    EXPECT_GT(line.at("server_mib").get<double>(), 1) << name;
  }
  const auto nobody = fixtures::run_binary("bench serve --server http://127.0.0.1:1");
  EXPECT_EQ(nobody.exit_code, 1);
  EXPECT_THAT(nobody.err, ::testing::HasSubstr("cannot be reached"));
  EXPECT_EQ(fixtures::run_binary("bench serve --server localhost").exit_code, 2);
}

TEST(Bench, PromptsInUnitsOfOneEncoding) {
  const auto lines = figures("prompt --model ViT-XXS-16-96");
  for (const char* method : {"pool-prompt", "pool-all", "roi_align"}) {
    const Json& line = lines.at(std::string("prompt/ViT-XXS-16-96/bf16/") + method + "/r1000");
    EXPECT_GT(line.at("encodes").get<double>(), 0);
    EXPECT_GT(line.at("prompts_alone_per_s").get<double>(), 0);
  }
  EXPECT_GT(lines.at("prompt/ViT-XXS-16-96/bf16/crop/r100").at("encodes").get<double>(),
            lines.at("prompt/ViT-XXS-16-96/bf16/crop/r1").at("encodes").get<double>());
  EXPECT_FALSE(lines.contains("prompt/ViT-XXS-16-96/bf16/crop/r1000"));
}

TEST(Bench, ATrainingStepOfClipAndOfCloc) {
  const auto lines = lines_of("train --model ViT-XXS-16-96 --batch 4");
  for (const char* precision : {"bf16", "fp32"}) {
    const std::string suffix = std::string("/") + precision + "/b4";
    for (const char* objective : {"clip", "cloc"}) {
      const Json& line = lines.at(std::string("train/ViT-XXS-16-96/") + objective + suffix);
      EXPECT_GT(line.at("items_per_s").get<double>(), 0);
      EXPECT_GT(line.at("gflops").get<double>(), 0);
    }
    EXPECT_GT(lines.at("train/ViT-XXS-16-96/cloc-to-clip" + suffix).at("times").get<double>(), 0);
  }
}

TEST(Bench, AMultimodalModelIsTrainedAndAnswers) {
  const auto lines = figures("mllm --precision fp32 --batch 2");
  EXPECT_EQ(lines.size(), 2u * 3u);  // sources of regions
  for (const char* source : {"mean", "sampler", "prompter"}) {
    const auto what = "ViT-XXS-16-96/" + std::string(source) + "/fp32/b2";
    EXPECT_GT(lines.at("mllm/train/" + what).at("share_of_peak").get<double>(), 0);
    EXPECT_GT(lines.at("mllm/train/" + what).at("peak_mib").get<int>(), 0);
    EXPECT_EQ(lines.at("mllm/answer/" + what).at("words"), 8);
  }
}

TEST(Bench, TheLossNeverHoldsTheMatrix) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer keeps freed memory, so that it cannot be measured";
#endif
  constexpr int64_t kRows = 8192;
  const auto lines = figures("loss --loss-rows 8192");
  const double extra = lines.at("loss/r8192-e512").at("extra_mib").get<double>();
  EXPECT_GT(extra, 0);
  EXPECT_LT(extra, kRows * kRows / (1 << 20));  // a quarter of the matrix
}

TEST(Bench, BothTokenizers) {
  const auto lines = figures("tokenizer");
  for (const char* kind : {"bpe", "sentencepiece"}) {
    EXPECT_GT(lines.at(std::string("tokenizer/") + kind + "/t1").at("ids_a_text").get<double>(), 5);
  }
}

TEST(Bench, ThePeaksOfThisMachine) {
  const auto lines = lines_of("peak --threads 1");
  EXPECT_GT(lines.at("peak/fp32/t1").at("gflops").get<double>(), 0);
  EXPECT_GT(lines.at("peak/bf16/scalar/t1").at("gflops").get<double>(), 0);
  EXPECT_GT(lines.at("peak/int8/scalar/t1").at("gflops").get<double>(), 0);
  EXPECT_GT(lines.at("peak/read/t1").at("gbytes_per_s").get<double>(), 0);
  EXPECT_GT(lines.at("peak/copy/t1").at("gbytes_per_s").get<double>(), 0);
}

TEST(Bench, TheSignatureIsTheSameForAnyNumberOfThreadsAndSeed) {
  const auto once = lines_of("signature --threads 1");
  ASSERT_GE(once.size(), 3u);
  const auto again = lines_of("signature --threads 2 --seed 5");
  ASSERT_EQ(again.size(), once.size());
  for (const auto& [name, line] : once) EXPECT_EQ(again.at(name), line);
}

TEST(Bench, SignaturesOfPrecisionsDifferButTheirValuesAreClose) {
  const auto lines = lines_of("signature --precision fp32,bf16");
  const Json& fp32 = lines.at("signature/fp32/scalar");
  const Json& bf16 = lines.at("signature/bf16/scalar");
  EXPECT_NE(fp32.at("hash"), bf16.at("hash"));
  EXPECT_NEAR(bf16.at("loss").get<double>(), fp32.at("loss").get<double>(),
              0.05 * fp32.at("loss").get<double>());
}

}  // namespace
}  // namespace opencloc

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

std::map<std::string, Json> figures(const std::string& arguments) {
  const auto result = testing::run_binary("bench " + arguments + " --seconds 0.01 --json");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  std::map<std::string, Json> lines;
  std::istringstream text(result.out);
  for (std::string line; std::getline(text, line);) {
    const Json figure = parse_json(line, "bench");
    EXPECT_GT(figure.at("items_per_s").get<double>(), 0) << line;
    lines[figure.at("name").get<std::string>()] = figure;
  }
  return lines;
}

TEST(Bench, ProductsHaveRatesAndShareOfPeak) {
  const auto lines = figures("gemm");
  EXPECT_EQ(lines.size(), 8u * 2u * 3u);  // shapes, precisions, products
  const Json& bf16 = lines.at("gemm/bf16/forward/4160x576x192");
  EXPECT_GT(bf16.at("gflops").get<double>(), 0);
  EXPECT_GT(bf16.at("share_of_peak").get<double>(), 0);
  EXPECT_FALSE(lines.at("gemm/fp32/dw/4160x576x192").contains("share_of_peak"));
}

TEST(Bench, ATowerOnPlainTorchAndOnOurOps) {
  const auto lines = figures("tower");
  for (const char* kind : {"torch-fp32", "fp32", "bf16"}) {
    EXPECT_TRUE(lines.contains(std::string("tower/w192-l6-t65-b64/") + kind)) << kind;
  }
}

}  // namespace
}  // namespace opencloc

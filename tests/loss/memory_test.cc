#include <gtest/gtest.h>
#include <sys/resource.h>
#include <torch/nn/functional/normalization.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "opencloc/loss/loss.h"

namespace opencloc {
namespace {

int64_t peak_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

// The similarity matrix of 16,000 pairs is 1 GB; forward and backward must not come near it.
TEST(ContrastiveMemory, NeverHoldsTheSimilarityMatrix) {
  constexpr int64_t kPairs = 16000, kWidth = 8;
  torch::manual_seed(1);
  const auto unit = [] {
    return torch::nn::functional::normalize(torch::randn({kPairs, kWidth})).requires_grad_();
  };
  const auto a = unit(), b = unit();
  const auto scale = torch::tensor(2.0f).requires_grad_();
  const auto id = torch::arange(kPairs) / 4;
  const int64_t before = peak_bytes();
  const auto result = region_loss(a, b, id.to(torch::kLong), scale, {.similarity_test = true});
  result.loss.backward();
  EXPECT_GT(a.grad().abs().max().item<float>(), 0);
  EXPECT_LT(peak_bytes() - before, kPairs * kPairs * int64_t{sizeof(float)} / 4);
}

}  // namespace
}  // namespace opencloc

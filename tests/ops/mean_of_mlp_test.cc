#include "opencloc/ops/mean_of_mlp.h"

#include <torch/autograd.h>
#include <torch/utils.h>

#include "compare.h"
#include "opencloc/ops/precision.h"

namespace opencloc::ops {
namespace {

Op mean_of(Gelu kind) {
  return [kind](const Tensors& t) { return mean_of_mlp(t[0], mlp_weights_of(t, kind)); };
}
// In double precision: every token through both layers, then the mean.
Op all_tokens_then_mean(Gelu kind) {
  return [kind](const Tensors& t) { return mlp(t[0], mlp_weights_of(t, kind)).mean(1); };
}
Tensors mean_inputs(int64_t groups, int64_t tokens, int64_t width, int64_t hidden) {
  return {random({groups, tokens, width}), random({hidden, width}, 0.3), random({hidden}),
          random({width, hidden}, 0.3), random({width})};
}

class MeanOfMlp : public testing::TestWithParam<std::tuple<Precision, Gelu>> {
 protected:
  const PrecisionScope scope_{std::get<0>(GetParam())};
  static Gelu kind() { return std::get<1>(GetParam()); }
  static double tolerance() { return std::get<0>(GetParam()) == Precision::kFp32 ? 5e-5 : 3e-2; }
};
INSTANTIATE_TEST_SUITE_P(Precisions, MeanOfMlp,
                         testing::Combine(testing::Values(Precision::kFp32, Precision::kBf16),
                                          testing::Values(Gelu::kErf, Gelu::kQuick, Gelu::kTanh)));

TEST_P(MeanOfMlp, IsTheMeanOfTheOutputs) {
  torch::manual_seed(1);
  for (const int64_t groups : {0, 1, 5}) {
    for (const int64_t tokens : {1, 3, 67, 300}) {
      for (const int64_t width : {5, 48}) {
        SCOPED_TRACE(testing::Message() << groups << " x " << tokens << " x " << width);
        expect_agree(mean_of(kind()), all_tokens_then_mean(kind()),
                     mean_inputs(groups, tokens, width, 4 * width - 3), tolerance());
      }
    }
  }
}

TEST_P(MeanOfMlp, WithoutGradientsIsTheSame) {
  torch::manual_seed(2);
  auto t = mean_inputs(3, 40, 32, 64);
  for (auto& tensor : t) tensor.requires_grad_(true);
  const auto with = mean_of(kind())(t).detach();
  const torch::NoGradGuard no_grad;
  EXPECT_TRUE(torch::equal(mean_of(kind())(t), with));
}

TEST(MeanOverTokens, IsTheMean) {
  torch::manual_seed(4);
  const Op kernel = [](const Tensors& t) { return mean_over_tokens(t[0]); };
  const Op written_down = [](const Tensors& t) { return t[0].mean(1); };
  for (const int64_t groups : {0, 1, 5}) {
    for (const int64_t tokens : {1, 16, 67, 300}) {
      for (const int64_t width : {5, 128, 200}) {
        SCOPED_TRACE(testing::Message() << groups << " x " << tokens << " x " << width);
        expect_agree(kernel, written_down, {random({groups, tokens, width})}, 1e-6);
      }
    }
  }
  EXPECT_THROW(mean_over_tokens(random({2, 0, 8})), c10::Error);
}

TEST(MeanOfMlp, BackwardOutlivesAChangeOfPrecision) {
  torch::manual_seed(3);
  auto t = mean_inputs(2, 9, 16, 24);
  t[0].requires_grad_(true);
  const auto gradient = [&](Precision at_backward) {
    const PrecisionScope forward(Precision::kBf16);
    const auto y = mean_of(Gelu::kErf)(t);
    const PrecisionScope backward(at_backward);
    return torch::autograd::grad({y.sum()}, {t[0]})[0];
  };
  const auto wanted = gradient(Precision::kBf16), got = gradient(Precision::kFp32);
  EXPECT_TRUE(torch::equal(got, wanted));
}

TEST(MeanOfMlp, WhatDoesNotFitIsRefused) {
  const auto t = mean_inputs(2, 3, 8, 12);
  EXPECT_THROW(mean_of_mlp(random({2, 0, 8}), mlp_weights_of(t, Gelu::kErf)), c10::Error);
  EXPECT_THROW(mean_of_mlp(random({2, 3, 9}), mlp_weights_of(t, Gelu::kErf)), c10::Error);
}

}  // namespace
}  // namespace opencloc::ops

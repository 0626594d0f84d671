#include <torch/utils.h>

#include "compare.h"
#include "opencloc/ops/ops.h"
#include "opencloc/ops/product.h"
#include "opencloc/ops/reference.h"

namespace opencloc::ops {
namespace {

Op with_bias() {
  return [](const Tensors& t) { return ops::linear(t[0], t[1], t[2]); };
}
Op reference_with_bias() {
  return [](const Tensors& t) { return reference::linear(t[0], t[1], t[2]); };
}

TEST(Linear, AgreesWithTorchOverOddShapes) {
  torch::manual_seed(1);
  for (const int64_t rows : {1, 2, 31, 65, 130}) {
    for (const int64_t in : {1, 3, 32, 50}) {
      for (const int64_t out : {1, 17, 64, 70}) {
        SCOPED_TRACE(testing::Message() << rows << " x " << in << " -> " << out);
        expect_agree(with_bias(), reference_with_bias(),
                     {random({rows, in}), random({out, in}), random({out})}, 2e-5);
      }
    }
  }
}

TEST(Linear, AgreesWithTorchOnAModelsShape) {
  torch::manual_seed(2);
  expect_agree(with_bias(), reference_with_bias(),
               {random({5, 65, 192}), random({576, 192}, 0.05), random({576})}, 2e-5);
}

TEST(Linear, TakesAnyLeadingDimensions) {
  torch::manual_seed(3);
  const auto weight = random({5, 7}), bias = random({5});
  expect_agree(with_bias(), reference_with_bias(), {random({7}), weight, bias}, 1e-5);
  expect_agree(with_bias(), reference_with_bias(), {random({2, 3, 4, 7}), weight, bias}, 1e-5);
}

TEST(Linear, EmptyBatch) {
  expect_agree(with_bias(), reference_with_bias(),
               {torch::empty({0, 7}), random({5, 7}), random({5})}, 1e-5);
}

TEST(Linear, NoBias) {
  torch::manual_seed(4);
  expect_agree([](const Tensors& t) { return ops::linear(t[0], t[1]); },
               [](const Tensors& t) { return reference::linear(t[0], t[1]); },
               {random({9, 12}), random({8, 12})}, 1e-5);
}

TEST(Linear, TakesViews) {
  torch::manual_seed(5);
  const auto views = [](const Op& op) {
    return [op](const Tensors& t) {
      return op({t[0].transpose(0, 1), t[1].t(), t[2].slice(0, 0, 8)}).transpose(0, 1);
    };
  };
  expect_agree(views(with_bias()), views(reference_with_bias()),
               {random({3, 9, 12}), random({12, 8}), random({10})}, 1e-5);
}

TEST(Linear, OnlyTheGradientsAskedFor) {
  const auto x = random({3, 4}), weight = random({5, 4}).requires_grad_(true), bias = random({5});
  ops::linear(x, weight, bias).sum().backward();
  EXPECT_TRUE(weight.grad().defined());
  EXPECT_FALSE(x.grad().defined());
  const auto x2 = random({3, 4}).requires_grad_(true);
  ops::linear(x2, random({5, 4}), bias).sum().backward();
  EXPECT_TRUE(x2.grad().defined());
}

TEST(Linear, DoublesRunOnTheReference) {
  const auto x = torch::randn({3, 4}, torch::kDouble), w = torch::randn({5, 4}, torch::kDouble);
  EXPECT_TRUE(torch::equal(ops::linear(x, w), reference::linear(x, w)));
}

TEST(Linear, MismatchIsRefused) {
  EXPECT_THROW(ops::linear(random({3, 4}), random({5, 3})), c10::Error);
  EXPECT_THROW(ops::linear(random({3, 4}), random({5, 4}), random({4})), c10::Error);
}

TEST(Linear, GradientCheck) {
  torch::manual_seed(6);
  expect_gradients_match_differences(with_bias(), {random({6, 9}), random({5, 9}), random({5})},
                                     2e-3);
}

TEST(Product, AgreesWithTorch) {
  torch::manual_seed(7);
  for (const int64_t m : {0, 1, 33}) {
    for (const int64_t k : {0, 1, 20}) {
      const auto a = torch::randn({m, k}), b = torch::randn({k, 18});
      const auto wanted = torch::mm(a.to(torch::kDouble), b.to(torch::kDouble));
      EXPECT_LE(largest_difference(product(a, b), wanted), 1e-5);
      EXPECT_LE(largest_difference(product_nt(a, b.t().contiguous()), wanted), 1e-5);
      EXPECT_LE(largest_difference(product_tn(a.t().contiguous(), b), wanted), 1e-5);
    }
  }
  const auto wide = torch::randn({8, 40}), part = wide.slice(1, 4, 20);  // rows 40 apart
  EXPECT_LE(largest_difference(product_nt(part, part), torch::mm(part, part.t())), 1e-5);
}

}  // namespace
}  // namespace opencloc::ops

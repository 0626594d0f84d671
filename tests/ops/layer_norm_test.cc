#include <torch/utils.h>

#include "compare.h"
#include "opencloc/ops/ops.h"
#include "opencloc/ops/reference.h"

namespace opencloc::ops {
namespace {

const Op kOp = [](const Tensors& t) { return layer_norm(t[0], t[1], t[2], 1e-5); };
const Op kReference = [](const Tensors& t) {
  return reference::layer_norm(t[0], t[1], t[2], 1e-5);
};

TEST(LayerNorm, AgreesWithTorch) {
  torch::manual_seed(1);
  for (const int64_t rows : {0, 1, 3, 130, 1000}) {
    for (const int64_t width : {7, 15, 16, 33, 192}) {
      SCOPED_TRACE(testing::Message() << rows << " x " << width);
      expect_agree(kOp, kReference, {random({rows, width}) + 3.0, random({width}), random({width})},
                   3e-5);
    }
  }
  expect_agree(kOp, kReference, {random({2, 3, 20}), random({20}), random({20})}, 1e-5);
}

TEST(LayerNorm, ConstantRowIsTheBias) {
  const auto bias = random({24});
  const auto y = layer_norm(torch::full({2, 24}, 7.0), torch::ones({24}), bias);
  EXPECT_LE(largest_difference(y[1], bias), 1e-6);
}

TEST(LayerNorm, WeightGradientsDoNotDependOnThreads) {
  torch::manual_seed(2);
  const Tensors inputs{random({4160, 192}), random({192}), random({192})};
  kernels::set_thread_count(1);
  const Tensors one = output_and_gradients(kOp, inputs, torch::kFloat);
  kernels::set_thread_count(2);
  const Tensors two = output_and_gradients(kOp, inputs, torch::kFloat);
  kernels::set_thread_count(1);
  for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(torch::equal(one[i], two[i])) << i;
}

TEST(LayerNorm, GradientCheck) {
  torch::manual_seed(3);
  expect_gradients_match_differences(kOp, {random({4, 9}), random({9}), random({9})}, 5e-3);
}

// x + f(layer_norm(x)), as a block has it.
TEST(BranchStart, AddsBothGradients) {
  torch::manual_seed(4);
  const auto residual = [](const torch::Tensor& x, const torch::Tensor& normed) {
    return torch::cat({x.sin() + normed.tanh(), normed}, -1);
  };
  const Op op = [&](const Tensors& t) {
    const auto start = branch_start(t[0], t[1], t[2]);
    return residual(start.x, start.normed);
  };
  const Op reference = [&](const Tensors& t) {
    return residual(t[0], reference::layer_norm(t[0], t[1], t[2], 1e-5));
  };
  for (const int64_t rows : {1, 130, 300})
    expect_agree(op, reference, {random({rows, 33}), random({33}), random({33})}, 3e-5);
  const auto rows_apart = [](const Op& f) {  // x is not contiguous
    return [&f](const Tensors& t) { return f({t[0].transpose(0, 1), t[1], t[2]}); };
  };
  expect_agree(rows_apart(op), rows_apart(reference), {random({20, 5}), random({20}), random({20})},
               3e-5);
}

TEST(BranchStart, OneSideAlone) {
  torch::manual_seed(5);
  const Tensors inputs{random({130, 20}), random({20}), random({20})};
  expect_agree([](const Tensors& t) { return branch_start(t[0], t[1], t[2]).x * t[0]; },
               [](const Tensors& t) { return t[0] * t[0]; }, {inputs[0], inputs[1], inputs[2]},
               1e-6);
  expect_agree([](const Tensors& t) { return branch_start(t[0], t[1], t[2]).normed; }, kReference,
               inputs, 3e-5);
}

TEST(Add, IsTheSumToTheBit) {
  torch::manual_seed(6);
  kernels::set_thread_count(2);
  for (const int64_t rows : {0, 1, 3, 1000}) {
    const auto a = random({rows, 67}).requires_grad_(true);
    const auto b = random({rows, 67}).requires_grad_(true);
    const auto sum = ops::add(a, b);
    EXPECT_TRUE(torch::equal(sum, a + b)) << rows;
    const auto weights = random({rows, 67});
    (sum * weights).sum().backward();
    EXPECT_TRUE(torch::equal(a.grad(), weights) && torch::equal(b.grad(), weights)) << rows;
  }
  kernels::set_thread_count(1);
}

}  // namespace
}  // namespace opencloc::ops

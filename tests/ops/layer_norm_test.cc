#include "compare.h"

#include <torch/utils.h>
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

}  // namespace
}  // namespace opencloc::ops

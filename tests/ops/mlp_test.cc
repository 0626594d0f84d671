#include <torch/utils.h>

#include "compare.h"
#include "opencloc/ops/ops.h"
#include "opencloc/ops/reference.h"

namespace opencloc::ops {
namespace {

Op op_of(Gelu kind) {
  return [kind](const Tensors& t) { return mlp(t[0], mlp_weights_of(t, kind)); };
}
Op reference_of(Gelu kind) {
  return [kind](const Tensors& t) { return reference::mlp(t[0], mlp_weights_of(t, kind)); };
}
Tensors inputs(torch::IntArrayRef leading, int64_t width, int64_t hidden) {
  auto sizes = leading.vec();
  sizes.push_back(width);
  return {random(sizes), random({hidden, width}, 0.3), random({hidden}),
          random({width, hidden}, 0.3), random({width})};
}

class Mlp : public testing::TestWithParam<Gelu> {};
INSTANTIATE_TEST_SUITE_P(Kinds, Mlp, testing::Values(Gelu::kErf, Gelu::kQuick, Gelu::kTanh));

TEST_P(Mlp, AgreesWithTorch) {
  torch::manual_seed(1);
  const Gelu kind = GetParam();
  for (const int64_t rows : {0, 1, 33, 100}) {
    for (const int64_t width : {1, 16, 37}) {
      SCOPED_TRACE(testing::Message() << rows << " x " << width);
      expect_agree(op_of(kind), reference_of(kind), inputs({rows}, width, 4 * width), 3e-5);
    }
  }
  expect_agree(op_of(kind), reference_of(kind), inputs({3, 65}, 192, 768), 5e-5);
}

TEST_P(Mlp, GradientCheck) {
  torch::manual_seed(2);
  expect_gradients_match_differences(op_of(GetParam()), inputs({4}, 6, 10), 5e-3);
}

}  // namespace
}  // namespace opencloc::ops

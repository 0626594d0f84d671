#include <torch/utils.h>

#include "compare.h"
#include "opencloc/ops/ops.h"
#include "opencloc/ops/reference.h"

namespace opencloc::ops {
namespace {

class GeluKind : public testing::TestWithParam<Gelu> {};
INSTANTIATE_TEST_SUITE_P(Kinds, GeluKind, testing::Values(Gelu::kErf, Gelu::kQuick, Gelu::kTanh));

TEST_P(GeluKind, AgreesWithTorch) {
  const Gelu kind = GetParam();
  const Op op = [kind](const Tensors& t) { return gelu(t[0], kind); };
  const Op plain = [kind](const Tensors& t) { return reference::gelu(t[0], kind); };
  expect_agree(op, plain, {torch::linspace(-12, 12, 5003)}, 2e-6);
  expect_agree(op, plain, {torch::linspace(-1, 1, 7)}, 2e-6);
  expect_agree(op, plain, {torch::empty({0, 3})}, 0);
  torch::manual_seed(1);
  expect_agree(op, plain, {random({3, 40000})}, 2e-6);  // more than one thread's worth
}

TEST_P(GeluKind, FarFromZeroAndNaN) {
  const auto inf = std::numeric_limits<float>::infinity();
  const auto y = gelu(torch::tensor({-200.0f, 200.0f, inf, std::nanf("")}), GetParam());
  EXPECT_EQ(y[0].item<float>(), 0.0f);
  EXPECT_EQ(y[1].item<float>(), 200.0f);
  EXPECT_EQ(y[2].item<float>(), inf);
  EXPECT_TRUE(std::isnan(y[3].item<float>()));
}

}  // namespace
}  // namespace opencloc::ops

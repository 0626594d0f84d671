#include "opencloc/ops/quantized.h"

#include <torch/utils.h>

#include "compare.h"
#include "opencloc/base/error.h"
#include "opencloc/ops/packed_weights.h"
#include "opencloc/ops/reference.h"

namespace opencloc::ops {
namespace {

// |got - wanted| / |wanted|, as vectors.
double relative_error(const torch::Tensor& got, const torch::Tensor& wanted) {
  return ((got - wanted).norm() / wanted.norm()).item<double>();
}

template <typename Body>
void on_every_isa(const Body& body) {
  for (const auto isa : kernels::supported_isas()) {
    SCOPED_TRACE(kernels::to_string(isa));
    kernels::set_active_isa(isa);
    body();
  }
  kernels::set_active_isa(kernels::supported_isas().back());
}

TEST(Quantized, PartsComeBack) {
  torch::manual_seed(1);
  const auto weight = random({7, 20});
  const auto q = quantized(weight);
  const auto values = quantized_values(q), scale = quantized_scale(q);
  EXPECT_EQ(values.scalar_type(), torch::kChar);
  EXPECT_EQ(scale.scalar_type(), torch::kFloat);
  EXPECT_LE(largest_difference(values.to(torch::kFloat) * scale.unsqueeze(1), weight),
            0.5001 * scale.max().item<double>());
  const auto again = quantized(values, scale);
  EXPECT_TRUE(torch::equal(quantized_values(again), values));
  EXPECT_TRUE(torch::equal(quantized_scale(again), scale));  // to the bit, though torch keeps F64
}

TEST(Quantized, LinearIsCloseToF32) {
  torch::manual_seed(2);
  const torch::NoGradGuard no_grad;
  const auto weight = random({70, 96}, 0.1), bias = random({70});
  const auto q = quantized(weight);
  for (const auto& x :
       {random({96}), random({1, 96}), random({2, 33, 96}), random({5, 96}).t().contiguous().t()}) {
    on_every_isa([&] {
      const auto y = ops::linear(x, q, bias);
      const auto wanted = reference::linear(x, weight, bias);
      ASSERT_EQ(y.sizes(), wanted.sizes());
      EXPECT_LT(relative_error(y, wanted), 0.012);
      EXPECT_LT(relative_error(ops::linear(x, q), reference::linear(x, weight)), 0.012);
    });
  }
  EXPECT_EQ(ops::linear(random({0, 96}), q, bias).sizes(), torch::IntArrayRef({0, 70}));
}

TEST(Quantized, MlpIsCloseToF32) {
  torch::manual_seed(3);
  const torch::NoGradGuard no_grad;
  for (const Gelu kind : {Gelu::kErf, Gelu::kQuick, Gelu::kTanh}) {
    const MlpWeights w{random({256, 64}, 0.2), random({256}), random({64, 256}, 0.1), random({64}),
                       kind};
    MlpWeights q = w;
    q.fc_weight = quantized(w.fc_weight);
    q.proj_weight = quantized(w.proj_weight);
    MlpWeights half = w;  // a layer that cannot be quantised beside one that can
    half.fc_weight = q.fc_weight;
    for (const auto& x : {random({1, 64}), random({2, 65, 64})}) {
      const auto wanted = reference::mlp(x, w);
      on_every_isa([&] { EXPECT_LT(relative_error(mlp(x, q), wanted), 0.02); });
      EXPECT_LT(relative_error(mlp(x, half), wanted), 0.02);
    }
  }
}

TEST(Quantized, IsPackedOnceAndDiesWithItsTensor) {
  const torch::NoGradGuard no_grad;
  drop_stale_packed_weights();
  const int64_t before = packed_weights_held();
  {
    const auto q = quantized(random({8, 8}));
    const auto first = packed_int8(q);
    ops::linear(random({3, 8}), q);
    EXPECT_EQ(packed_int8(q), first);
    EXPECT_EQ(packed_weights_held(), before + 1);
  }
  drop_stale_packed_weights();
  EXPECT_EQ(packed_weights_held(), before);
}

TEST(Quantized, GradientsAreRefusedAndSoAreOtherShapes) {
  const auto q = quantized(random({5, 4}));
  EXPECT_THROW(ops::linear(random({3, 4}).requires_grad_(true), q), c10::Error);
  EXPECT_THROW(ops::linear(random({3, 4}), q, random({5}).requires_grad_(true)), c10::Error);
  EXPECT_THROW(ops::linear(random({3, 5}), q), c10::Error);
  EXPECT_THROW(ops::linear(random({3, 4}), q, random({4})), c10::Error);
  EXPECT_THROW(ops::linear(random({3, 4}).to(torch::kDouble), q), Error);
  const torch::NoGradGuard no_grad;
  EXPECT_EQ(ops::linear(random({3, 4}).requires_grad_(true), q).sizes(),
            torch::IntArrayRef({3, 5}));
}

}  // namespace
}  // namespace opencloc::ops

// The ops with bf16 products: against the same maths on rounded operands in double, and close to
// what they give in F32.
#include <torch/autograd.h>
#include <torch/utils.h>

#include "compare.h"
#include "opencloc/ops/ops.h"
#include "opencloc/ops/precision.h"
#include "opencloc/ops/reference.h"

namespace opencloc::ops {
namespace {

class Bf16 : public testing::Test {
 protected:
  const PrecisionScope scope_{Precision::kBf16};
};

// Output and gradients stay within `share` of each one's largest element of the F32 reference, or
// of the size of the inputs, 1, where that is larger: sums that cancel keep their terms' rounding.
void expect_close(const Op& op, const Op& reference, const Tensors& inputs, double share) {
  const Tensors wanted = output_and_gradients(reference, inputs, torch::kDouble);
  for (const kernels::Isa isa : kernels::supported_isas()) {
    kernels::set_active_isa(isa);
    SCOPED_TRACE(kernels::to_string(isa));
    const Tensors got = output_and_gradients(op, inputs, torch::kFloat);
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(got[i].sizes(), wanted[i].sizes());
      if (got[i].numel() == 0) continue;
      EXPECT_LE(largest_difference(got[i], wanted[i]),
                share * std::max(1.0, wanted[i].abs().max().item<double>()))
          << (i == 0 ? "output" : "gradient of input " + std::to_string(i - 1));
    }
    const Tensors again = output_and_gradients(op, inputs, torch::kFloat);
    for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(torch::equal(got[i], again[i])) << i;
  }
  kernels::set_active_isa(kernels::supported_isas().back());
}

torch::Tensor rounded(const torch::Tensor& t) { return t.to(torch::kBFloat16).to(torch::kDouble); }

TEST_F(Bf16, LinearIsExactOnRoundedOperands) {
  torch::manual_seed(1);
  for (const auto& sizes : {std::array<int64_t, 3>{130, 48, 70}, {1, 5, 3}, {0, 4, 6}}) {
    const auto x = random({sizes[0], sizes[1]}).requires_grad_(true);
    const auto weight = random({sizes[2], sizes[1]}).requires_grad_(true);
    const auto bias = random({sizes[2]}).requires_grad_(true), dy = random({sizes[0], sizes[2]});
    const auto y = ops::linear(x, weight, bias);
    y.backward(dy);
    const auto close = [](const torch::Tensor& got, const torch::Tensor& wanted) {
      EXPECT_LE(largest_difference(got, wanted), 3e-5);
    };
    close(y.detach(), torch::mm(rounded(x), rounded(weight).t()) + bias.to(torch::kDouble));
    close(x.grad(), torch::mm(rounded(dy), rounded(weight)));
    close(weight.grad(), torch::mm(rounded(dy).t(), rounded(x)));
    close(bias.grad(), dy.to(torch::kDouble).sum(0));
  }
}

TEST_F(Bf16, LinearStaysCloseToF32) {
  torch::manual_seed(2);
  expect_close([](const Tensors& t) { return ops::linear(t[0], t[1], t[2]); },
               [](const Tensors& t) { return reference::linear(t[0], t[1], t[2]); },
               {random({2, 65, 192}), random({576, 192}, 0.05), random({576})}, 1e-2);
}

TEST_F(Bf16, MlpStaysCloseToF32) {
  torch::manual_seed(3);
  for (const Gelu kind : {Gelu::kErf, Gelu::kQuick}) {
    for (const int64_t rows : {0, 1, 33, 130}) {
      for (const int64_t width : {5, 64}) {
        SCOPED_TRACE(testing::Message() << rows << " x " << width);
        const int64_t hidden = 4 * width - 3;
        expect_close(
            [&](const Tensors& t) {
              return mlp(t[0], {t[1], t[2], t[3], t[4], kind});
            },
            [&](const Tensors& t) {
              return reference::mlp(t[0], {t[1], t[2], t[3], t[4], kind});
            },
            {random({rows, width}), random({hidden, width}, 0.2), random({hidden}),
             random({width, hidden}, 0.2), random({width})},
            3e-2);
      }
    }
  }
}

TEST_F(Bf16, SelfAttentionStaysCloseToF32) {
  torch::manual_seed(6);
  struct Case {
    int64_t batch, tokens, heads, head_width;
  };
  for (const Mask mask : {Mask::kNone, Mask::kCausal}) {
    for (const Case c : {Case{1, 1, 1, 4}, Case{2, 5, 3, 8}, Case{2, 65, 3, 64}, Case{2, 32, 2, 20},
                         Case{1, 97, 1, 48}, Case{1, 150, 2, 17}, Case{0, 5, 1, 8}}) {
      SCOPED_TRACE(testing::Message() << c.batch << " x " << c.tokens << ", " << c.heads << " of "
                                      << c.head_width << (mask == Mask::kCausal ? ", causal" : ""));
      expect_close([&](const Tensors& t) { return self_attention(t[0], c.heads, mask); },
                   [&](const Tensors& t) { return reference::self_attention(t[0], c.heads, mask); },
                   {random({c.batch, c.tokens, 3 * c.heads * c.head_width})}, 2e-2);
    }
  }
}

TEST_F(Bf16, CrossAttentionStaysCloseToF32) {
  torch::manual_seed(7);
  for (const int64_t queries : {1, 3, 40}) {
    for (const int64_t keys : {1, 31, 67}) {
      SCOPED_TRACE(testing::Message() << queries << " on " << keys);
      expect_close([](const Tensors& t) { return cross_attention(t[0], t[1], t[2], 2); },
                   [](const Tensors& t) { return reference::cross_attention(t[0], t[1], t[2], 2); },
                   {random({3, queries, 24}), random({3, keys, 24}), random({3, keys, 24})}, 2e-2);
    }
  }
}

TEST_F(Bf16, AttentionHidesNoNaN) {
  auto qkv = random({1, 6, 12});
  qkv[0][2][0] = std::nanf("");
  EXPECT_TRUE(self_attention(qkv, 1).isnan().any().item<bool>());
}

TEST_F(Bf16, MlpWithoutGradientsIsTheSame) {
  torch::manual_seed(4);
  const auto x = random({9, 32});
  const MlpWeights w{random({64, 32}).requires_grad_(true), random({64}), random({32, 64}),
                     random({32}), Gelu::kErf};
  const auto with = mlp(x, w).detach();
  const torch::NoGradGuard no_grad;
  EXPECT_TRUE(torch::equal(mlp(x, w), with));
}

// The products of a backward pass are those of the forward pass, whatever scope is open then.
TEST_F(Bf16, BackwardOutlivesAChangeOfPrecision) {
  torch::manual_seed(5);
  const auto x = random({9, 32}).requires_grad_(true);
  const auto weight = [](torch::IntArrayRef sizes) { return random(sizes).requires_grad_(true); };
  const MlpWeights w{weight({64, 32}), weight({64}), weight({32, 64}), weight({32}), Gelu::kErf};
  const auto next = weight({24, 32});
  const auto gradients = [&](Precision forward, Precision backward) {
    const PrecisionScope outer(forward);
    const auto y = self_attention(ops::linear(mlp(x, w), next).view({1, 9, 24}), 2).square().sum();
    const PrecisionScope inner(backward);
    return torch::autograd::grad({y}, {x, w.fc_weight, next});
  };
  const auto wanted = gradients(Precision::kBf16, Precision::kBf16);
  const auto got = gradients(Precision::kBf16, Precision::kFp32);
  const auto plain = gradients(Precision::kFp32, Precision::kBf16);
  for (size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_TRUE(torch::equal(got[i], wanted[i])) << i;
    EXPECT_FALSE(torch::equal(plain[i], wanted[i])) << i;
  }
}

TEST(PrecisionScopeTest, IsOfOneThreadAndEnds) {
  const PrecisionScope outer(Precision::kBf16);
  {
    const PrecisionScope inner(Precision::kFp32);
    EXPECT_EQ(matmul_precision(), Precision::kFp32);
  }
  EXPECT_EQ(matmul_precision(), Precision::kBf16);
  Precision elsewhere = Precision::kBf16;
  std::thread([&] { elsewhere = matmul_precision(); }).join();
  EXPECT_EQ(elsewhere, Precision::kFp32);
}

}  // namespace
}  // namespace opencloc::ops

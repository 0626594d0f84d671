#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/utils.h>

#include "opencloc/loss/loss.h"

namespace opencloc {
namespace {

struct Inputs {
  torch::Tensor image, text, scale, bias;
};
Inputs random_inputs(int64_t n, torch::ScalarType type = torch::kFloat) {
  torch::manual_seed(8);
  const auto unit = [&] {
    const auto rows = torch::randn({n, 6}, type);
    return (rows / rows.norm(2, 1, true)).detach().requires_grad_();
  };
  return {unit(), unit(), torch::tensor(2.3).to(type).requires_grad_(),
          torch::tensor(-3.0).to(type).requires_grad_()};
}

// The formula of the paper, whole.
torch::Tensor plain(const Inputs& in) {
  const auto logits = in.image.mm(in.text.t()) * in.scale.exp() + in.bias;
  const auto signs = 2 * torch::eye(in.image.size(0), logits.options()) - 1;
  return -torch::log_sigmoid(signs * logits).sum() / static_cast<double>(in.image.size(0));
}

std::vector<torch::Tensor> gradients(const torch::Tensor& loss, const Inputs& in) {
  return torch::autograd::grad({loss}, {in.image, in.text, in.scale, in.bias});
}

TEST(SigmoidLoss, EqualsTheFormulaWhateverTheChunk) {
  for (const int64_t n : {1, 2, 9}) {
    const auto in = random_inputs(n);
    const auto expected = plain(in);
    const auto wanted = gradients(expected, in);
    for (const int64_t chunk : {1, 4, 1024}) {
      const auto loss = sigmoid_loss(in.image, in.text, in.scale, in.bias, {.chunk = chunk});
      EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-5);
      const auto got = gradients(loss, in);
      for (size_t i = 0; i < got.size(); ++i)
        EXPECT_TRUE(torch::allclose(got[i], wanted[i], 1e-4, 1e-6)) << n << ", input " << i;
    }
  }
}

TEST(SigmoidLoss, LocalRowsAddUp) {
  const auto in = random_inputs(7, torch::kDouble);
  const auto whole = sigmoid_loss(in.image, in.text, in.scale, in.bias);
  auto sum = torch::zeros({}, torch::kDouble);
  for (const auto& [offset, count] : {std::pair<int64_t, int64_t>{0, 3}, {3, 4}}) {
    sum = sum + sigmoid_loss(in.image, in.text, in.scale, in.bias,
                             {.chunk = 2, .local_offset = offset, .local_count = count});
  }
  EXPECT_NEAR(sum.item<double>(), whole.item<double>(), 1e-12);
  const auto a = gradients(sum, in), b = gradients(whole, in);
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(torch::allclose(a[i], b[i]));
}

TEST(SigmoidLoss, NoPairsNoLoss) {
  const auto in = random_inputs(0);
  EXPECT_EQ(sigmoid_loss(in.image, in.text, in.scale, in.bias).item<double>(), 0);
}

}  // namespace
}  // namespace opencloc

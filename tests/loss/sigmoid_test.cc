#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/utils.h>

#include "opencloc/loss/loss.h"
#include "tests/loss/contrastive_fixture.h"

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

TEST(SigmoidLoss, ProcessesTogetherLoseWhatOneDoes) {
  for (const int64_t n : {2, 7, 20}) {
    const auto pairs = make_pairs(n, torch::kDouble);
    const auto bias = torch::tensor(-3.0, torch::kDouble);
    const auto loss = [&](const Pairs& share, dist::Group& group) {
      return sigmoid_loss(share.a, share.b, share.scale, bias, {.chunk = 2, .group = &group});
    };
    const auto whole = evaluate(pairs, [&] { return loss(pairs, dist::alone()); });
    for (const auto& sizes : shares_of(n)) {
      SCOPED_TRACE(testing::PrintToString(sizes));
      expect_close(evaluate_shared(pairs, sizes, loss), whole, 1e-12);
    }
  }
}

TEST(SigmoidLoss, NoPairsNoLoss) {
  const auto in = random_inputs(0);
  EXPECT_EQ(sigmoid_loss(in.image, in.text, in.scale, in.bias).item<double>(), 0);
}

}  // namespace
}  // namespace opencloc

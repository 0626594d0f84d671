// Against the published formulas, written out with libtorch's own operations.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/functional/loss.h>
#include <torch/utils.h>

#include "opencloc/loss/loss.h"

namespace opencloc {
namespace {

void expect_same_gradients(const torch::Tensor& got, const torch::Tensor& wanted) {
  EXPECT_LE((got - wanted).abs().max().item<double>(), 1e-5 * wanted.abs().max().item<double>());
}

// SLIP's SIMCLRLoss (losses.py), one process.
torch::Tensor plain_simclr(const torch::Tensor& first, const torch::Tensor& second, double tau) {
  const auto unit = [](const torch::Tensor& x) { return x / x.norm(2, 1, true); };
  const auto a = unit(first), b = unit(second);
  const int64_t n = a.size(0);
  const auto masks = torch::eye(n, a.options()) * 1e9;
  const auto labels = torch::arange(n);
  const auto aa = torch::matmul(a, a.t()) / tau - masks, bb = torch::matmul(b, b.t()) / tau - masks;
  const auto ab = torch::matmul(a, b.t()) / tau, ba = torch::matmul(b, a.t()) / tau;
  namespace f = torch::nn::functional;
  return (f::cross_entropy(torch::cat({ab, aa}, 1), labels) +
          f::cross_entropy(torch::cat({ba, bb}, 1), labels)) /
         2;
}

TEST(Simclr, IsSlipsLoss) {
  torch::manual_seed(1);
  for (const int64_t n : {2, 5, 33}) {
    auto a = torch::randn({n, 16}).requires_grad_(), b = torch::randn({n, 16}).requires_grad_();
    const auto got = simclr_loss(a, b, 0.1);
    const auto gradients = torch::autograd::grad({got}, {a, b});
    const auto wanted = plain_simclr(a, b, 0.1);
    const auto right = torch::autograd::grad({wanted}, {a, b});
    EXPECT_NEAR(got.item<double>(), wanted.item<double>(), 1e-5 * wanted.item<double>()) << n;
    expect_same_gradients(gradients[0], right[0]);
    expect_same_gradients(gradients[1], right[1]);
  }
}

TEST(Simclr, OfNothingOrOnePictureIsZero) {
  EXPECT_EQ(simclr_loss(torch::zeros({0, 8}), torch::zeros({0, 8}), 0.1).item<double>(), 0);
  // One picture's views have nothing to be told from.
  EXPECT_NEAR(simclr_loss(torch::randn({1, 8}), torch::randn({1, 8}), 0.1).item<double>(), 0, 1e-6);
}

// MAE's forward_loss (models_mae.py), before the division by the number of masked patches.
torch::Tensor plain_mae(const torch::Tensor& predicted, torch::Tensor target,
                        const torch::Tensor& mask, bool normalize) {
  if (normalize) {
    const auto mean = target.mean(-1, true), var = target.var(-1, true, true);
    target = (target - mean) / (var + 1e-6).sqrt();
  }
  return ((predicted - target).pow(2).mean(-1) * mask.to(torch::kFloat32)).sum();
}

TEST(MaskedPatches, IsMaesLoss) {
  torch::manual_seed(2);
  for (const bool normalize : {true, false}) {
    auto predicted = torch::randn({3, 9, 12}).requires_grad_();
    const auto patches = 2 * torch::randn({3, 9, 12}) + 1;
    const auto mask = torch::rand({3, 9}) < 0.75;
    const auto got = masked_patch_loss({predicted, patches, mask, normalize});
    const auto gradient = torch::autograd::grad({got}, {predicted})[0];
    const auto wanted = plain_mae(predicted, patches, mask, normalize);
    EXPECT_NEAR(got.item<double>(), wanted.item<double>(), 1e-5 * wanted.item<double>());
    expect_same_gradients(gradient, torch::autograd::grad({wanted}, {predicted})[0]);
    EXPECT_EQ(
        masked_patch_loss({predicted, patches, torch::zeros_like(mask), normalize}).item<double>(),
        0);
  }
}

// iBOTLoss.forward (main_ibot.py), its patches, before the means.
TEST(Distillation, IsIbotsLoss) {
  torch::manual_seed(3);
  namespace f = torch::nn::functional;
  const auto student = torch::randn({7, 11}).requires_grad_(), teacher = torch::randn({7, 11});
  const auto centre = torch::randn({11});
  const auto said = teacher_distribution(teacher, centre, 0.07);
  const auto got = distillation_loss(student, said, 0.1);
  const auto wanted = torch::sum(-torch::softmax((teacher - centre) / 0.07, -1) *
                                 torch::log_softmax(student / 0.1, -1));
  EXPECT_NEAR(got.item<double>(), wanted.item<double>(), 1e-5 * wanted.item<double>());
  expect_same_gradients(torch::autograd::grad({got}, {student})[0],
                        torch::autograd::grad({wanted}, {student})[0]);
  EXPECT_EQ(distillation_loss(torch::zeros({0, 5}), torch::zeros({0, 5}), 0.1).item<double>(), 0);
}

TEST(Distillation, NoGradientReachesTheTeacher) {
  const auto student = torch::randn({2, 5}).requires_grad_(),
             teacher = torch::randn({2, 5}).requires_grad_(),
             centre = torch::randn({5}).requires_grad_();
  const auto said = teacher_distribution(teacher, centre, 0.07);
  EXPECT_FALSE(said.requires_grad());
  distillation_loss(student, said, 0.1).backward();
  EXPECT_TRUE(student.grad().defined());
  EXPECT_FALSE(teacher.grad().defined());
  EXPECT_FALSE(centre.grad().defined());
}

TEST(Distillation, EntropyIsOfEachDistribution) {
  const auto found = entropy(torch::tensor({{1.0F, 0.0F}, {0.5F, 0.5F}}));
  EXPECT_NEAR(found[0].item<double>(), 0, 1e-6);
  EXPECT_NEAR(found[1].item<double>(), std::log(2.0), 1e-6);
}

}  // namespace
}  // namespace opencloc

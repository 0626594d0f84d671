#include "opencloc/eval/logistic.h"

#include <cmath>

#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/kernels/parallel.h"

namespace opencloc {
namespace {

double rosenbrock(const std::vector<double>& x, std::vector<double>& gradient) {
  const double a = 1 - x[0], b = x[1] - x[0] * x[0];
  gradient = {-2 * a - 400 * x[0] * b, 200 * b};
  return a * a + 100 * b * b;
}

TEST(Lbfgs, FindsTheMinimumOfACurvedValley) {
  std::vector<double> x{-1.2, 1};
  const auto report = minimize(rosenbrock, x, {.gradient_tolerance = 1e-9});
  EXPECT_TRUE(report.converged);
  EXPECT_NEAR(x[0], 1, 1e-6);
  EXPECT_NEAR(x[1], 1, 1e-6);
  EXPECT_LT(report.evaluations, 100);
}

TEST(Lbfgs, FindsTheMinimumOfAStretchedBowl) {
  const auto bowl = [](const std::vector<double>& x, std::vector<double>& gradient) {
    double value = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double scale = std::pow(10.0, static_cast<double>(i) / 20);
      const double off = x[i] - static_cast<double>(i);
      value += 0.5 * scale * off * off;
      gradient[i] = scale * off;
    }
    return value;
  };
  std::vector<double> x(40);  // condition 89
  const auto report = minimize(bowl, x);
  EXPECT_TRUE(report.converged);
  EXPECT_LE(report.largest_gradient, 1e-5);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], static_cast<double>(i), 1e-4);
}

TEST(Lbfgs, SaysThatItStoppedEarlyAndStopsAtAMinimum) {
  std::vector<double> x{-1.2, 1};
  const auto early = minimize(rosenbrock, x, {.max_iterations = 3});
  EXPECT_FALSE(early.converged);
  EXPECT_EQ(early.iterations, 3);
  x = {1, 1};
  const auto there = minimize(rosenbrock, x);
  EXPECT_TRUE(there.converged);
  EXPECT_EQ(there.iterations, 0);
  EXPECT_EQ(there.evaluations, 1);
}

TEST(Lbfgs, AGradientThatIsNotTheFunctionsEndsTheSearch) {
  const auto wrong = [](const std::vector<double>& x, std::vector<double>& gradient) {
    gradient = {-1};  // says that larger is better; it is not
    return x[0] * x[0] + std::abs(x[0]);
  };
  std::vector<double> x{0};
  const auto report = minimize(wrong, x);
  EXPECT_FALSE(report.converged);
  EXPECT_EQ(x[0], 0);
}

// The loss in double by libtorch, with its own gradient.
torch::Tensor plain_logistic_loss(const LabelledRows& rows, double lambda,
                                  const torch::Tensor& weights) {
  const auto w = weights.view({rows.classes, -1});
  const auto inner = w.slice(1, 0, -1);
  const auto logits = torch::matmul(rows.features.to(torch::kDouble), inner.t()) + w.select(1, -1);
  const auto right = logits.log_softmax(1).gather(1, rows.targets.unsqueeze(1));
  return -right.mean() + 0.5 * lambda * inner.square().sum();
}

torch::Tensor plain_gradient(const LabelledRows& rows, double lambda,
                             const std::vector<double>& weights) {
  auto w = torch::tensor(weights, torch::kDouble).requires_grad_(true);
  plain_logistic_loss(rows, lambda, w).backward();
  return w.grad();
}

LabelledRows made_up_rows(int64_t count, int64_t width, int64_t classes) {
  const auto features = torch::randn({count, width});
  const auto teacher = torch::randn({classes, width});
  const auto noisy = torch::matmul(features, teacher.t()) + 2 * torch::randn({count, classes});
  return {features, noisy.argmax(1), classes};
}

TEST(Logistic, LossAndGradientAreLibtorchs) {
  torch::manual_seed(12);
  for (const auto& [count, width, classes] :
       {std::tuple{1, 1, 2}, {700, 5, 3}, {9000, 6, 4}, {20, 3, 1}}) {
    const auto rows = made_up_rows(count, width, classes);
    std::vector<double> weights(static_cast<size_t>(classes * (width + 1)));
    for (double& w : weights) w = torch::randn({1}).item<float>();  // as F32 has it
    std::vector<double> gradient(weights.size());
    const double loss = logistic_loss(rows, 0.3, weights, gradient);
    EXPECT_NEAR(
        loss, plain_logistic_loss(rows, 0.3, torch::tensor(weights, torch::kDouble)).item<double>(),
        1e-5);
    const auto expected = plain_gradient(rows, 0.3, weights);
    for (size_t i = 0; i < weights.size(); ++i) {
      EXPECT_NEAR(gradient[i], expected[static_cast<int64_t>(i)].item<double>(), 1e-5) << i;
    }
  }
}

// The function is convex: a point without a slope is the minimum.
TEST(Logistic, TheFitIsTheMinimum) {
  torch::manual_seed(13);
  const auto rows = made_up_rows(1200, 8, 5);
  for (const double lambda : {1e-6, 1e-3, 1.0}) {
    const auto model = fit_logistic(rows, lambda);
    EXPECT_TRUE(model.report.converged) << lambda;
    EXPECT_LT(plain_gradient(rows, lambda, model.weights).abs().max().item<double>(), 2e-5);
  }
}

TEST(Logistic, AStrongPenaltyLeavesTheClassesShares) {
  auto rows = made_up_rows(400, 3, 2);
  rows.targets =
      torch::cat({torch::zeros({300}, torch::kInt64), torch::ones({100}, torch::kInt64)});
  const auto model = fit_logistic(rows, 1e6);
  EXPECT_NEAR(model.weights[0], 0, 1e-5);
  EXPECT_NEAR(model.weights[3] - model.weights[7], std::log(3.0), 1e-3);  // the biases
}

TEST(Logistic, ThreadsChangeNothing) {
  torch::manual_seed(14);
  const auto rows = made_up_rows(10'000, 9, 4);
  const auto fit_with = [&](int threads) {
    const kernels::ThreadLimit limit(threads);
    return fit_logistic(rows, 1e-4).weights;
  };
  const auto expected = fit_with(1);
  EXPECT_EQ(fit_with(2), expected);
  EXPECT_EQ(fit_with(5), expected);
}

}  // namespace
}  // namespace opencloc

#include "opencloc/train/gradient_exchange.h"

#include <gtest/gtest.h>
#include <torch/utils.h>

#include "tests/dist/thread_group.h"

namespace opencloc {
namespace {

// Leaves of odd sizes.
NamedTensors some_parameters() {
  NamedTensors parameters;
  for (const auto& [name, shape] : std::vector<std::pair<std::string, std::vector<int64_t>>>{
           {"a.weight", {3, 5}}, {"a.bias", {7}}, {"scale", {}}, {"b.weight", {11, 2}}, {"c", {4}}})
    parameters.emplace_back(name, torch::ones(shape).requires_grad_());
  return parameters;
}

// A loss that differs from rank to rank; "a.bias" is used by rank 1 alone, "c" by nobody.
torch::Tensor loss_of(const NamedTensors& parameters, int64_t rank) {
  torch::Tensor loss = torch::zeros({});
  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto& [name, parameter] = parameters[i];
    if (name == "c" || (name == "a.bias" && rank != 1)) continue;
    const auto weights = torch::arange(parameter.numel()).view(parameter.sizes()) + 3 * rank + 1;
    loss = loss + (parameter * parameter * weights).sum();
  }
  return loss;
}

// What one process would have.
std::vector<torch::Tensor> summed_gradients(int64_t ranks) {
  const auto parameters = some_parameters();
  for (int64_t rank = 0; rank < ranks; ++rank) loss_of(parameters, rank).backward();
  std::vector<torch::Tensor> gradients;
  for (const auto& [name, parameter] : parameters) gradients.push_back(parameter.grad());
  return gradients;
}

struct Case {
  int ranks;
  int64_t bucket_bytes;
  int64_t passes;
};

void expect_sums(const Case& of, bool sharded) {
  SCOPED_TRACE(testing::PrintToString(of.ranks) + " ranks, buckets of " +
               testing::PrintToString(of.bucket_bytes));
  const auto expected = summed_gradients(of.ranks);
  std::mutex mutex;
  fixtures::run_ranks(of.ranks, [&](dist::Group& group) {
    const auto parameters = some_parameters();
    GradientExchange exchange(parameters, group,
                              {.bucket_bytes = of.bucket_bytes, .sharded = sharded});
    for (int step = 0; step < 2; ++step) {
      exchange.begin(of.passes);
      for (int64_t pass = 0; pass < of.passes; ++pass)
        (loss_of(parameters, group.rank()) / of.passes).backward();
      exchange.finish();
      const double norm = exchange.norm();
      const std::lock_guard lock(mutex);
      double squares = 0;
      for (size_t i = 0; i < parameters.size(); ++i) {
        const auto& gradient = parameters[i].second.grad();
        ASSERT_EQ(gradient.defined(), expected[i].defined()) << parameters[i].first;
        if (!gradient.defined()) continue;
        squares += expected[i].pow(2).sum().item<double>();
        if (!sharded) {
          EXPECT_TRUE(torch::allclose(gradient, expected[i])) << parameters[i].first;
        }
      }
      for (const auto& piece : exchange.own_pieces()) {
        if (!expected[piece.parameter].defined()) continue;
        const auto own = [&](const torch::Tensor& whole) {
          return whole.reshape(-1).slice(0, piece.begin, piece.end);
        };
        EXPECT_TRUE(torch::allclose(own(parameters[piece.parameter].second.grad()),
                                    own(expected[piece.parameter])));
      }
      EXPECT_NEAR(norm, std::sqrt(squares), 1e-4 * std::sqrt(squares));
    }
  });
}

TEST(GradientExchange, GradientsAreThoseOfAllProcesses) {
  for (const bool sharded : {false, true})
    for (const int ranks : {2, 3, 4})
      for (const int64_t bucket_bytes : {int64_t{1}, int64_t{64}, int64_t{1} << 20})
        for (const int64_t passes : {1, 3}) expect_sums({ranks, bucket_bytes, passes}, sharded);
}

// Every element belongs to one process; an optimizer of each one's pieces makes the same weights.
TEST(GradientExchange, AShardedOptimizerMakesTheSameWeightsAndMoments) {
  constexpr int kRanks = 3;
  std::vector<NamedTensors> results[2];
  for (const bool sharded : {false, true}) {
    results[sharded].resize(kRanks);
    std::mutex mutex;
    fixtures::run_ranks(kRanks, [&](dist::Group& group) {
      const auto parameters = some_parameters();
      GradientExchange exchange(parameters, group, {.bucket_bytes = 64, .sharded = sharded});
      AdamW optimizer =
          sharded ? AdamW(parameters, {}, exchange.own_pieces()) : AdamW(parameters, {});
      for (int step = 0; step < 3; ++step) {
        exchange.begin(1);
        loss_of(parameters, group.rank()).backward();
        exchange.finish();
        optimizer.step(0.1, exchange.norm());
        exchange.share_values();
      }
      std::vector<torch::Tensor> moments = optimizer.first_moments();
      if (sharded) moments = exchange.collect(moments);
      const std::lock_guard lock(mutex);
      auto& result = results[sharded][static_cast<size_t>(group.rank())];
      for (const auto& [name, parameter] : parameters)
        result.emplace_back(name, parameter.detach().clone());
      if (!group.is_first()) return;
      for (size_t i = 0; i < parameters.size(); ++i)
        result.emplace_back("m." + parameters[i].first, moments[i].clone());
    });
  }
  for (size_t rank = 0; rank < kRanks; ++rank) {
    ASSERT_EQ(results[0][rank].size(), results[1][rank].size());
    for (size_t i = 0; i < results[0][rank].size(); ++i) {
      EXPECT_TRUE(torch::equal(results[0][rank][i].second, results[1][rank][i].second))
          << results[0][rank][i].first;
    }
  }
  EXPECT_TRUE(torch::equal(results[0][0][0].second, results[0][2][0].second));
}

TEST(GradientExchange, PiecesCoverEveryElementOnce) {
  std::vector<torch::Tensor> covered;
  for (const auto& [name, parameter] : some_parameters())
    covered.push_back(torch::zeros({parameter.numel()}, torch::kInt64));
  std::mutex mutex;
  fixtures::run_ranks(4, [&](dist::Group& group) {
    const auto parameters = some_parameters();
    const GradientExchange exchange(parameters, group, {.bucket_bytes = 100});
    const std::lock_guard lock(mutex);
    for (const auto& piece : exchange.own_pieces())
      covered[piece.parameter].slice(0, piece.begin, piece.end) += 1;
  });
  for (const auto& counts : covered) EXPECT_TRUE(counts.eq(1).all().item<bool>());
}

}  // namespace
}  // namespace opencloc

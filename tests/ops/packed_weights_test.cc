#include "opencloc/ops/packed_weights.h"

#include <thread>

#include <torch/utils.h>

#include "compare.h"
#include "opencloc/ops/ops.h"
#include "opencloc/ops/optimizer_step.h"
#include "opencloc/ops/precision.h"

namespace opencloc::ops {
namespace {

class PackedWeights : public testing::Test {
 protected:
  void SetUp() override {
    torch::manual_seed(1);
    drop_stale_packed_weights();
    before_ = packed_weights_held();
  }

  const PrecisionScope bf16_{Precision::kBf16};
  int64_t held() const { return packed_weights_held() - before_; }

  // What a weight of the same values gives that nobody has seen before.
  static torch::Tensor fresh(const torch::Tensor& x, const torch::Tensor& weight) {
    return ops::linear(x, weight.detach().clone());
  }

 private:
  int64_t before_ = 0;
};

TEST_F(PackedWeights, AreMadeOnceAndDieWithTheirTensor) {
  const torch::NoGradGuard no_grad;
  const auto x = random({3, 40});
  {
    const auto weight = random({50, 40}).requires_grad_(true);
    const auto first = packed_bf16(weight);
    EXPECT_EQ(packed_bf16(weight), first);
    EXPECT_EQ(packed_bf16(weight.detach()), first);
    ops::linear(x, weight);
    EXPECT_EQ(held(), 1);
    ops::linear(x, weight.slice(0, 0, 20));  // another matrix
    EXPECT_EQ(held(), 2);
    EXPECT_EQ(packed_bf16(weight), first);
  }
  drop_stale_packed_weights();
  EXPECT_EQ(held(), 0);
}

TEST_F(PackedWeights, AnotherTensorInTheSamePlaceIsAnotherWeight) {
  const torch::NoGradGuard no_grad;
  const auto x = random({3, 16});
  std::vector<float> memory(16 * 8, 1.0f);
  const auto of_memory = [&] { return torch::from_blob(memory.data(), {8, 16}); };
  ops::linear(x, of_memory());
  memory.assign(memory.size(), 2.0f);
  const auto weight = of_memory();
  EXPECT_TRUE(torch::equal(ops::linear(x, weight), fresh(x, weight)));
}

TEST_F(PackedWeights, FollowEveryWayOfWriting) {
  const auto x = random({3, 40}), bias = torch::Tensor();
  auto weight = random({50, 40}).requires_grad_(true);
  const std::vector<std::pair<const char*, std::function<void()>>> writes = {
      {"copy_",
       [&] {
         weight.copy_(random({50, 40}));
       }},
      {"mul_", [&] { weight.mul_(1.5); }},
      {"through a view", [&] { weight.slice(0, 3, 4).fill_(2); }},
      {"through a transpose", [&] { weight.t()[1].zero_(); }},
      {"set_data",
       [&] {
         weight.set_data(random({50, 40}));
       }},
      {"optimizer step",
       [&] {
         adamw_step({{weight, random({50, 40}), torch::zeros({50, 40}), torch::zeros({50, 40}), 0}},
                    {.lr = 0.1});
       }},
  };
  const torch::NoGradGuard no_grad;
  for (const auto& [what, write] : writes) {
    SCOPED_TRACE(what);
    const auto before = ops::linear(x, weight), part_before = ops::linear(x, weight.slice(0, 2, 9));
    write();
    const auto after = ops::linear(x, weight);
    EXPECT_FALSE(torch::equal(after, before));
    EXPECT_TRUE(torch::equal(after, fresh(x, weight)));
    EXPECT_TRUE(torch::equal(ops::linear(x, weight.slice(0, 2, 9)), after.slice(1, 2, 9)));
    EXPECT_LE(held(), 2 + 1);  // and the fresh one
    drop_stale_packed_weights();
    EXPECT_EQ(held(), 2);
  }
}

TEST_F(PackedWeights, AnOptimizerStepDropsWhatItWrote) {
  const auto weight = random({8, 8}).requires_grad_(true);
  {
    const torch::NoGradGuard no_grad;
    ops::linear(random({2, 8}), weight);
  }
  EXPECT_EQ(held(), 1);
  adamw_step({{weight, random({8, 8}), torch::zeros({8, 8}), torch::zeros({8, 8}), 0}}, {});
  EXPECT_EQ(held(), 0);
}

TEST_F(PackedWeights, TrainingKeepsNone) {
  const auto x = random({3, 40});
  const auto parameter = [](torch::IntArrayRef sizes) {
    return random(sizes).requires_grad_(true);
  };
  const auto weight = parameter({50, 40});
  ops::linear(x, weight).sum().backward();
  const MlpWeights mlp_weights{parameter({64, 40}), parameter({64}), parameter({40, 64}),
                               parameter({40}), Gelu::kErf};
  mlp(x, mlp_weights).sum().backward();
  EXPECT_EQ(held(), 0);
  const torch::NoGradGuard no_grad;
  mlp(x, mlp_weights);
  EXPECT_EQ(held(), 2);
}

TEST_F(PackedWeights, AFrozenWeightPassesGradientsOn) {
  const auto x = random({3, 40}).requires_grad_(true), weight = random({40, 50}).t();
  ops::linear(x, weight).sum().backward();
  EXPECT_EQ(held(), 1);
  const auto wanted = weight.to(torch::kBFloat16).to(torch::kFloat).sum(0).expand({3, 40});
  EXPECT_LE(largest_difference(x.grad(), wanted), 1e-4);
}

TEST_F(PackedWeights, ServeManyThreads) {
  constexpr int kThreads = 4;
  const auto x = random({3, 64});
  std::vector<torch::Tensor> weights, wanted;
  for (int i = 0; i < 20; ++i) {
    const torch::NoGradGuard no_grad;
    weights.push_back(random({64, 64}));
    wanted.push_back(fresh(x, weights.back()));
  }
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      const torch::NoGradGuard no_grad;
      const PrecisionScope bf16(Precision::kBf16);
      for (int round = 0; round < 5; ++round) {
        for (size_t i = 0; i < weights.size(); ++i) {
          if (!torch::equal(ops::linear(x, weights[i]), wanted[i])) ++wrong;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  drop_stale_packed_weights();
  EXPECT_EQ(held(), static_cast<int64_t>(weights.size()));
}

TEST_F(PackedWeights, InferenceModeHasNoVersionsAndKeepsNone) {
  const c10::InferenceMode inference;
  const auto x = random({3, 8});
  auto weight = random({8, 8});
  const auto before = ops::linear(x, weight);
  weight.zero_();
  EXPECT_TRUE(torch::equal(ops::linear(x, weight), torch::zeros({3, 8})));
  EXPECT_FALSE(torch::equal(before, torch::zeros({3, 8})));
  EXPECT_EQ(held(), 0);
}

}  // namespace
}  // namespace opencloc::ops

// Random pairs and the gradients of a loss over them, for the contrastive tests.
#pragma once

#include <functional>
#include <vector>

#include <gtest/gtest.h>
#include <torch/nn/functional/normalization.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "tests/dist/thread_group.h"

namespace opencloc {

struct Pairs {
  torch::Tensor a, b;     // [n, E] L2-normalised leaves
  torch::Tensor scale;    // scalar leaf, log
  torch::Tensor text_id;  // [n], with repeats
};

// Texts lie so close together that a cosine of 0.9 splits their pairs; equal ids have equal texts.
inline Pairs make_pairs(int64_t n, torch::ScalarType type = torch::kFloat, int64_t width = 12) {
  torch::manual_seed(20 + n);
  const auto unit = [&](const torch::Tensor& x) {
    return torch::nn::functional::normalize(x, torch::nn::functional::NormalizeFuncOptions().dim(1))
        .to(type);
  };
  const auto text_id = torch::randint(0, std::max<int64_t>(n / 2, 1), {n}, torch::kLong);
  const auto texts = torch::randn({n + 1, width}, torch::kDouble) + 2.0;
  Pairs pairs;
  pairs.a = unit(torch::randn({n, width}, torch::kDouble)).requires_grad_();
  pairs.b = unit(texts.index_select(0, text_id)).clone().requires_grad_();
  pairs.scale = torch::tensor(1.7, type).requires_grad_();
  pairs.text_id = text_id;
  return pairs;
}

struct Evaluated {
  torch::Tensor loss, a, b, scale;  // the value and the three gradients
};

inline Evaluated evaluate(const Pairs& pairs, const std::function<torch::Tensor()>& loss) {
  for (const auto& leaf : {pairs.a, pairs.b, pairs.scale}) leaf.mutable_grad() = torch::Tensor();
  const auto value = loss();
  value.backward();
  return {.loss = value.detach().clone(),
          .a = pairs.a.grad().clone(),
          .b = pairs.b.grad().clone(),
          .scale = pairs.scale.grad().clone()};
}

// A loss over processes that hold so many pairs each: what they lose together, the gradients of
// their rows in order, and the sum of those of the scale.
using SharedLoss = std::function<torch::Tensor(const Pairs&, dist::Group&)>;
inline Evaluated evaluate_shared(const Pairs& pairs, const std::vector<int64_t>& sizes,
                                 const SharedLoss& loss) {
  std::vector<Evaluated> of_ranks(sizes.size());
  fixtures::run_ranks(static_cast<int>(sizes.size()), [&](dist::Group& group) {
    int64_t begin = 0;
    for (int rank = 0; rank < group.rank(); ++rank) begin += sizes[static_cast<size_t>(rank)];
    const int64_t end = begin + sizes[static_cast<size_t>(group.rank())];
    const auto own = [&](const torch::Tensor& t) {
      return t.detach().slice(0, begin, end).clone();
    };
    const Pairs share{own(pairs.a).requires_grad_(), own(pairs.b).requires_grad_(),
                      pairs.scale.detach().clone().requires_grad_(), own(pairs.text_id)};
    of_ranks[static_cast<size_t>(group.rank())] =
        evaluate(share, [&] { return loss(share, group); });
  });
  Evaluated all;
  std::vector<torch::Tensor> a, b;
  for (const auto& rank : of_ranks) {
    all.loss = all.loss.defined() ? all.loss + rank.loss : rank.loss;
    all.scale = all.scale.defined() ? all.scale + rank.scale : rank.scale;
    a.push_back(rank.a);
    b.push_back(rank.b);
  }
  all.a = torch::cat(a);
  all.b = torch::cat(b);
  return all;
}

// Ways to share n pairs: two, three and four processes, of different sizes, some with none.
inline std::vector<std::vector<int64_t>> shares_of(int64_t n) {
  return {
      {n / 3, n - n / 3}, {n, 0}, {0, n / 2, n - n / 2}, {1, 0, (n - 1) / 3, n - 1 - (n - 1) / 3}};
}

inline void expect_close(const Evaluated& got, const Evaluated& want, double tolerance) {
  EXPECT_TRUE(torch::allclose(got.loss, want.loss, tolerance, tolerance))
      << got.loss << " instead of " << want.loss;
  EXPECT_TRUE(torch::allclose(got.a, want.a, tolerance, tolerance)) << "gradient of a";
  EXPECT_TRUE(torch::allclose(got.b, want.b, tolerance, tolerance)) << "gradient of b";
  EXPECT_TRUE(torch::allclose(got.scale, want.scale, tolerance, tolerance))
      << "gradient of logit_scale " << got.scale << " instead of " << want.scale;
}

}  // namespace opencloc

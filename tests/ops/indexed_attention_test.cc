#include "opencloc/ops/indexed_attention.h"

#include <torch/utils.h>

#include "compare.h"
#include "opencloc/ops/precision.h"

namespace opencloc::ops {
namespace {

torch::Tensor rows(std::vector<int64_t> index) { return torch::tensor(index, torch::kInt64); }

// Output and log-sum-exp side by side, so that both gradients are checked. t: q, keys and values.
Op op(const torch::Tensor& index) {
  return [=](const Tensors& t) {
    const auto part = indexed_attention(t[0], t[1], index);
    return torch::cat({part.out, part.log_sum_exp.unsqueeze(-1)}, -1);
  };
}
// In double precision, which the kernels do not serve.
Op softmax_written_down(const torch::Tensor& index) {
  return [=](const Tensors& t) {
    const auto kv = t[1].index_select(0, index);
    const int64_t width = t[0].size(2);
    const auto scores = torch::einsum("npd,ntd->npt", {t[0], kv.slice(2, 0, width)}) /
                        std::sqrt(static_cast<double>(width));
    const auto out = torch::einsum("npt,ntd->npd", {scores.softmax(-1), kv.slice(2, width)});
    return torch::cat({out, scores.logsumexp(-1, /*keepdim=*/true)}, -1);
  };
}

struct Case {
  int64_t group, images, tokens, width;
  std::vector<int64_t> index;
};
const std::vector<Case>& cases() {
  static const std::vector<Case> kCases = {
      {1, 1, 1, 4, {0}},
      {3, 2, 17, 24, {0, 0, 1, 1, 1}},
      {3, 4, 37, 20, {3, 0, 3, 2, 0}},               // any order; image 1 is not asked
      {70, 2, 5, 16, {0, 1, 1}},                     // image rows on prompts
      {2, 1, 66, 48, std::vector<int64_t>(150, 0)},  // more than one piece
  };
  return kCases;
}

TEST(IndexedAttention, AgreesWithTheSoftmaxWrittenDown) {
  torch::manual_seed(1);
  for (const Case& c : cases()) {
    SCOPED_TRACE(testing::Message() << c.index.size() << " groups of " << c.group);
    const auto groups = static_cast<int64_t>(c.index.size());
    expect_agree(op(rows(c.index)), softmax_written_down(rows(c.index)),
                 {random({groups, c.group, c.width}), random({c.images, c.tokens, 2 * c.width})},
                 3e-5);
  }
}

TEST(IndexedAttention, AgreesInBf16) {
  torch::manual_seed(2);
  const PrecisionScope bf16(Precision::kBf16);
  for (const Case& c : cases()) {
    SCOPED_TRACE(testing::Message() << c.index.size() << " groups of " << c.group);
    const auto groups = static_cast<int64_t>(c.index.size());
    expect_agree(op(rows(c.index)), softmax_written_down(rows(c.index)),
                 {random({groups, c.group, c.width}), random({c.images, c.tokens, 2 * c.width})},
                 2e-2);
  }
}

// An image's tokens as the queries of every prompt: expanded, not copied.
TEST(IndexedAttention, QueriesThatAllGroupsShare) {
  torch::manual_seed(5);
  const auto shared = [](const Op& op) {
    return Op([op](const Tensors& t) { return op({t[0].expand({5, -1, -1}), t[1]}); });
  };
  const auto index = rows({0, 1, 1, 3, 3});
  for (const auto precision : {Precision::kFp32, Precision::kBf16}) {
    const PrecisionScope scope(precision);
    expect_agree(shared(op(index)), shared(softmax_written_down(index)),
                 {random({1, 70, 16}), random({4, 3, 32})},
                 precision == Precision::kFp32 ? 3e-5 : 2e-2);
  }
}

TEST(IndexedAttention, TwoPartsMergedAreOne) {
  torch::manual_seed(3);
  const auto index = rows({1, 0, 1});
  const auto in_two = [&](const Tensors& t) {
    return add_merged(t[0], indexed_attention(t[0], t[1].slice(1, 0, 9), index),
                      indexed_attention(t[0], t[1].slice(1, 9), index));
  };
  const auto at_once = softmax_written_down(index);
  const auto added = [&](const Tensors& t) {
    return t[0] + at_once(t).narrow(-1, 0, t[0].size(-1));  // beside the sums, which come last
  };
  expect_agree(in_two, added, {random({3, 2, 16}), random({2, 21, 32})}, 3e-5);
}

// What is the same for all groups is expanded, not copied; its gradient is the sum over them.
TEST(IndexedAttention, SharedPartsAreMergedWithEveryGroup) {
  torch::manual_seed(4);
  const Op merged = [](const Tensors& t) {
    const auto all = [](const torch::Tensor& one) { return one.expand({5, -1, -1}); };
    return add_merged(all(t[0]), {all(t[1]), t[2].expand({5, -1})}, {t[3], t[4]});
  };
  const Op written_down = [](const Tensors& t) {
    const auto a = t[2].exp(), b = t[4].exp();
    return t[0] + (a / (a + b)).unsqueeze(-1) * t[1] + (b / (a + b)).unsqueeze(-1) * t[3];
  };
  for (const int64_t width : {3, 24, 130}) {
    SCOPED_TRACE(testing::Message() << "width " << width);
    expect_agree(merged, written_down,
                 {random({1, 40, width}), random({1, 40, width}), random({1, 40}),
                  random({5, 40, width}), random({5, 40})},
                 3e-5);
  }
}

// Scores far apart: the share of one part is 1, that of the other 0, and nothing overflows.
TEST(IndexedAttention, APartThatWeighsNothingIsMergedWithoutOverflow) {
  const auto x = torch::zeros({1, 1, 4});
  const PartialAttention large{torch::full({1, 1, 4}, 2.0F), torch::full({1, 1}, 500.0F)};
  const PartialAttention small{torch::full({1, 1, 4}, 7.0F), torch::full({1, 1}, -500.0F)};
  EXPECT_TRUE(torch::equal(add_merged(x, large, small), large.out));
  EXPECT_TRUE(torch::equal(add_merged(x, small, large), large.out));
}

TEST(IndexedAttention, NoQueriesGiveNoGradient) {
  auto kv = random({2, 5, 16}).requires_grad_(true);
  const auto part = indexed_attention(torch::empty({0, 3, 8}), kv, rows({}));
  EXPECT_EQ(part.out.sizes(), torch::IntArrayRef({0, 3, 8}));
  part.out.sum().backward();
  EXPECT_EQ(kv.grad().abs().max().item<float>(), 0.0f);
}

TEST(IndexedAttention, WhatDoesNotFitIsRefused) {
  EXPECT_THROW(indexed_attention(random({2, 3, 8}), random({2, 5, 16}), rows({0, 2})), c10::Error);
  EXPECT_THROW(indexed_attention(random({2, 3, 8}), random({2, 5, 16}), rows({0, -1})), c10::Error);
  EXPECT_THROW(indexed_attention(random({2, 3, 8}), random({2, 5, 8}), rows({0, 1})), c10::Error);
  EXPECT_THROW(indexed_attention(random({2, 3, 8}), random({2, 0, 16}), rows({0, 1})), c10::Error);
}

}  // namespace
}  // namespace opencloc::ops

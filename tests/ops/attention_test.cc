#include <torch/utils.h>

#include "compare.h"
#include "opencloc/ops/ops.h"
#include "opencloc/ops/reference.h"

namespace opencloc::ops {
namespace {

Op self_op(int64_t heads, Mask mask) {
  return [=](const Tensors& t) { return self_attention(t[0], heads, mask); };
}
Op self_reference(int64_t heads, Mask mask) {
  return [=](const Tensors& t) { return reference::self_attention(t[0], heads, mask); };
}
Op cross_op(int64_t heads) {
  return [=](const Tensors& t) { return cross_attention(t[0], t[1], t[2], heads); };
}
Op cross_reference(int64_t heads) {
  return [=](const Tensors& t) { return reference::cross_attention(t[0], t[1], t[2], heads); };
}

class SelfAttention : public testing::TestWithParam<Mask> {};
INSTANTIATE_TEST_SUITE_P(Masks, SelfAttention, testing::Values(Mask::kNone, Mask::kCausal));

TEST_P(SelfAttention, AgreesWithTorch) {
  torch::manual_seed(1);
  struct Case {
    int64_t batch, tokens, heads, head_width;
  };
  for (const Case c : {Case{1, 1, 1, 4}, Case{2, 5, 3, 8}, Case{3, 65, 3, 64}, Case{2, 32, 2, 20},
                       Case{1, 73, 1, 48}, Case{2, 150, 2, 17}, Case{1, 300, 1, 64}}) {
    SCOPED_TRACE(testing::Message()
                 << c.batch << " x " << c.tokens << ", " << c.heads << " of " << c.head_width);
    expect_agree(self_op(c.heads, GetParam()), self_reference(c.heads, GetParam()),
                 {random({c.batch, c.tokens, 3 * c.heads * c.head_width})}, 2e-5);
  }
}

TEST_P(SelfAttention, EmptyBatch) {
  expect_agree(self_op(2, GetParam()), self_reference(2, GetParam()), {torch::empty({0, 5, 24})},
               0);
}

TEST_P(SelfAttention, LargeScoresDoNotOverflow) {
  torch::manual_seed(2);
  expect_agree(self_op(1, GetParam()), self_reference(1, GetParam()), {random({1, 20, 48}, 40.0)},
               1e-3);
}

TEST_P(SelfAttention, GradientCheck) {
  torch::manual_seed(3);
  expect_gradients_match_differences(self_op(2, GetParam()), {random({2, 7, 18})}, 5e-3);
}

TEST(SelfAttention, CausalSeesNoFuture) {
  torch::manual_seed(4);
  const auto qkv = random({1, 40, 48});
  auto changed = qkv.clone();
  changed.slice(1, 20).fill_(1e3);
  const auto a = self_attention(qkv, 2, Mask::kCausal).slice(1, 0, 20);
  const auto b = self_attention(changed, 2, Mask::kCausal).slice(1, 0, 20);
  EXPECT_TRUE(torch::equal(a, b));
}

TEST(SelfAttention, NaNIsNotHidden) {
  auto qkv = random({1, 6, 12});
  qkv[0][2][0] = std::nanf("");
  EXPECT_TRUE(self_attention(qkv, 1).isnan().any().item<bool>());
}

TEST(SelfAttention, MismatchIsRefused) {
  EXPECT_THROW(self_attention(random({1, 4, 10}), 2), c10::Error);
  EXPECT_THROW(self_attention(random({4, 12}), 2), c10::Error);
}

TEST(CrossAttention, AgreesWithTorch) {
  torch::manual_seed(5);
  for (const int64_t queries : {1, 3, 80}) {
    for (const int64_t keys : {1, 16, 67}) {
      SCOPED_TRACE(testing::Message() << queries << " on " << keys);
      expect_agree(cross_op(2), cross_reference(2),
                   {random({3, queries, 24}), random({3, keys, 24}), random({3, keys, 24})}, 2e-5);
    }
  }
}

TEST(CrossAttention, SingleWideHeadOnViews) {
  torch::manual_seed(6);
  const auto split = [](const Op& op) {
    return [op](const Tensors& t) {
      const auto kv = t[1].chunk(2, -1);
      return op({t[0], kv[0], kv[1]});
    };
  };
  expect_agree(split(cross_op(1)), split(cross_reference(1)),
               {random({4, 3, 192}), random({4, 68, 384})}, 2e-5);
}

TEST(CrossAttention, EmptyAndRefused) {
  EXPECT_EQ(
      cross_attention(torch::empty({0, 3, 8}), torch::empty({0, 5, 8}), torch::empty({0, 5, 8}), 1)
          .numel(),
      0);
  EXPECT_THROW(
      cross_attention(random({1, 3, 8}), torch::empty({1, 0, 8}), torch::empty({1, 0, 8}), 1),
      c10::Error);
  EXPECT_THROW(cross_attention(random({1, 3, 8}), random({2, 4, 8}), random({2, 4, 8}), 1),
               c10::Error);
}

TEST(CrossAttention, GradientCheck) {
  torch::manual_seed(7);
  expect_gradients_match_differences(
      cross_op(2), {random({2, 3, 8}), random({2, 5, 8}), random({2, 5, 8})}, 5e-3);
}

}  // namespace
}  // namespace opencloc::ops

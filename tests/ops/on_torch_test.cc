// What a GPU runs, on the CPU: every operation by libtorch beside our kernels.
#include "opencloc/ops/on_torch.h"

#include <torch/utils.h>

#include "compare.h"
#include "opencloc/ops/dispatch.h"
#include "opencloc/ops/optimizer_step.h"
#include "opencloc/ops/packed_weights.h"
#include "opencloc/ops/precision.h"
#include "opencloc/ops/product.h"
#include "opencloc/ops/torch_compat.h"
#include "tests/ops/all_ops.h"

namespace opencloc::ops {
namespace {

void expect_each_near(const Tensors& got, const Tensors& wanted, double share) {
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(got[i].sizes(), wanted[i].sizes());
    EXPECT_LE(largest_difference(got[i], wanted[i]),
              share * std::max(1.0, wanted[i].abs().max().item<double>()))
        << (i == 0 ? "output" : "gradient of input ") << i;
  }
}

TEST(OnTorch, EveryOperationAgreesWithOurKernels) {
  for (const auto& one : all_ops()) {
    SCOPED_TRACE(one.name);
    const auto inputs = inputs_of(one);
    const auto kernels = output_and_gradients(one.op, inputs, torch::kFloat);
    const BackendScope scope(Backend::kTorch);
    expect_each_near(output_and_gradients(one.op, inputs, torch::kFloat), kernels, 1e-5);
  }
}

// The scope is no decoration: with it no kernel of ours runs.
TEST(OnTorch, NoTensorRunsOnOurKernels) {
  const auto x = random({3, 4});
  EXPECT_TRUE(runs_on_kernels({x}));
  {
    const BackendScope scope(Backend::kTorch);
    EXPECT_FALSE(runs_on_kernels({x}));
    const BackendScope inner(Backend::kKernels);
    EXPECT_TRUE(runs_on_kernels({x}));
  }
  EXPECT_TRUE(runs_on_kernels({x}));
}

// bf16: activations are bf16 from one operation to the next, gradients of F32 weights F32, and all
// of it near F32.
TEST(OnTorchBf16, EveryOperationIsNearF32) {
  const ComputeScope scope(Precision::kBf16, Backend::kTorch);
  for (const auto& one : all_ops()) {
    SCOPED_TRACE(one.name);
    const auto inputs = inputs_of(one);
    const auto in_f32 = [&](const Tensors& t) {
      const ComputeScope inner(Precision::kFp32, Backend::kTorch);
      return one.op(t);
    };
    const auto in_bf16 = [&](const Tensors& t) { return one.op(t).to(torch::kFloat); };
    const auto got = output_and_gradients(in_bf16, inputs, torch::kFloat);
    for (const auto& t : got) EXPECT_EQ(t.scalar_type(), torch::kFloat);
    expect_each_near(got, output_and_gradients(in_f32, inputs, torch::kFloat), 0.05);
  }
}

TEST(OnTorchBf16, ActivationsStayBf16BetweenOperations) {
  const ComputeScope scope(Precision::kBf16, Backend::kTorch);
  const auto x = as_activation(random({2, 5, 16}));
  EXPECT_EQ(x.scalar_type(), torch::kBFloat16);
  const auto normed = layer_norm(x, random({16}), random({16}));
  EXPECT_EQ(normed.scalar_type(), torch::kBFloat16);
  const auto qkv = ops::linear(normed, random({48, 16}), random({48}));
  EXPECT_EQ(qkv.scalar_type(), torch::kBFloat16);
  const auto attended = self_attention(qkv, 2);
  EXPECT_EQ(attended.scalar_type(), torch::kBFloat16);
  EXPECT_EQ(ops::add(x, attended).scalar_type(), torch::kBFloat16);
  EXPECT_EQ(mlp(x, {random({32, 16}), random({32}), random({16, 32}), random({16}), Gelu::kErf})
                .scalar_type(),
            torch::kBFloat16);
  const ComputeScope f32(Precision::kFp32, Backend::kTorch);
  EXPECT_EQ(as_activation(random({3})).scalar_type(), torch::kFloat);
}

// A weight is rounded once, and anew when it has changed.
TEST(OnTorchBf16, RoundedWeightsAreKeptUntilTheyChange) {
  auto weight = random({6, 8});
  const auto first = rounded_bf16(weight), second = rounded_bf16(weight);
  EXPECT_EQ(first.data_ptr(), second.data_ptr());
  EXPECT_TRUE(torch::equal(first, weight.to(torch::kBFloat16)));
  weight.add_(1);
  EXPECT_TRUE(torch::equal(rounded_bf16(weight), weight.to(torch::kBFloat16)));
  const auto slice = weight.slice(0, 2, 4);
  EXPECT_TRUE(torch::equal(rounded_bf16(slice), slice.to(torch::kBFloat16)));
  const auto bias = random({7});
  EXPECT_TRUE(torch::equal(rounded_bf16(bias), bias.to(torch::kBFloat16)));
}

// Keys are not copied for a group: what is saved for the backward pass is much smaller.
TEST(OnTorchIndexed, UnevenGroupsInAnyOrder) {
  torch::manual_seed(12);
  for (const auto& rows : std::vector<std::vector<int64_t>>{
           {0}, {1, 1, 1, 1, 1, 1}, {5, 0, 5, 3}, {0, 1, 2, 3, 4, 5}}) {
    const auto index = torch::tensor(rows, torch::kInt64);
    const auto n = static_cast<int64_t>(rows.size());
    const Op op = [&](const Tensors& t) { return both_of(indexed_attention(t[0], t[1], index)); };
    const Tensors inputs{random({n, 2, 8}), random({6, 5, 16})};
    const auto kernels = output_and_gradients(op, inputs, torch::kFloat);
    const BackendScope scope(Backend::kTorch);
    expect_each_near(output_and_gradients(op, inputs, torch::kFloat), kernels, 1e-5);
  }
}

TEST(OnTorchIndexed, NoGroupsAndWrongRows) {
  const BackendScope scope(Backend::kTorch);
  const auto kv = random({2, 5, 16}).requires_grad_(true);
  const auto none =
      indexed_attention(torch::empty({0, 3, 8}), kv, torch::empty({0}, torch::kInt64));
  EXPECT_EQ(none.out.sizes(), (torch::IntArrayRef{0, 3, 8}));
  EXPECT_EQ(none.log_sum_exp.sizes(), (torch::IntArrayRef{0, 3}));
  for (const int64_t row : {-1, 2}) {
    EXPECT_THROW(indexed_attention(random({1, 3, 8}), kv, torch::tensor({row}, torch::kInt64)),
                 c10::Error);
  }
}

Tensors adamw_after(Backend backend, const AdamWStep& how, const torch::Tensor& grad) {
  torch::manual_seed(13);
  std::vector<AdamWSlot> slots;
  Tensors results;
  for (const double decay : {0.2, 0.0}) {
    AdamWSlot slot{random({40, 7}), grad.defined() ? grad.clone() : grad, random({40, 7}) * 0.1,
                   random({40, 7}).abs(), decay};
    slots.push_back(slot);
    for (const auto& t : {slot.value, slot.exp_avg, slot.exp_avg_sq}) results.push_back(t);
  }
  const BackendScope scope(backend);
  adamw_step(slots, how);
  return results;
}

TEST(OnTorchOptimizer, AdamWAgreesWithOurKernels) {
  torch::manual_seed(14);
  const auto grad = random({40, 7});
  for (AdamWStep how : {AdamWStep{.step = 3, .lr = 1e-2, .grad_scale = 0.25}, AdamWStep{}}) {
    expect_each_near(adamw_after(Backend::kTorch, how, grad),
                     adamw_after(Backend::kKernels, how, grad), 1e-6);
    how.late_grad_scale = torch::scalar_tensor(how.grad_scale, torch::kDouble);
    how.grad_scale = 17;  // not read
    for (const auto backend : {Backend::kTorch, Backend::kKernels}) {
      AdamWStep plain = how;
      plain.grad_scale = how.late_grad_scale.item<double>();
      plain.late_grad_scale = torch::Tensor();
      expect_each_near(adamw_after(backend, how, grad), adamw_after(Backend::kKernels, plain, grad),
                       1e-6);
    }
  }
}

TEST(OnTorchOptimizer, NothingChangesWhereTheNormIsNotFinite) {
  auto grad = torch::ones({40, 7});
  grad[3][2] = std::nanf("");
  for (const auto backend : {Backend::kTorch, Backend::kKernels}) {
    const BackendScope scope(backend);
    const auto norm = late_grad_norm({grad});
    EXPECT_TRUE(std::isnan(norm.item<double>()));
    AdamWStep how;
    how.late_grad_scale = late_clip_scale(norm, 1.0);
    const auto before = adamw_after(backend, {}, /*grad=*/{});
    const auto after = adamw_after(backend, how, grad);
    for (size_t i = 0; i < after.size(); ++i) EXPECT_TRUE(torch::equal(after[i], before[i])) << i;
  }
}

TEST(OnTorchOptimizer, LateNormAndClip) {
  torch::manual_seed(15);
  const Tensors grads{random({30, 5}), torch::Tensor(), random({7})};
  const double wanted = grad_norm(grads);
  for (const auto backend : {Backend::kTorch, Backend::kKernels}) {
    const BackendScope scope(backend);
    EXPECT_NEAR(late_grad_norm(grads).item<double>(), wanted, 1e-5 * wanted);
    EXPECT_EQ(late_grad_norm({}).item<double>(), 0);
  }
  const auto clip = [](double norm, double most) {
    return late_clip_scale(torch::scalar_tensor(norm, torch::kDouble), most).item<double>();
  };
  EXPECT_EQ(clip(4, 1), clip_scale(4, 1));
  EXPECT_EQ(clip(0.5, 1), 1);
  EXPECT_EQ(clip(4, 0), 1) << "0: no clipping";
  for (const double bad : {double{INFINITY}, -double{INFINITY}, std::nan("")})
    for (const double most : {0.0, 1.0}) EXPECT_FALSE(std::isfinite(clip(bad, most)));
}

TEST(OnTorch, CudnnsAttentionIsAskedFirstWhereOneCanSaySo) {
  if (!prefer_cudnn_attention()) GTEST_SKIP() << "this libtorch decides itself";
#if OPENCLOC_TORCH_FROM(2, 6)
  EXPECT_EQ(at::globalContext().sDPPriorityOrder()[0], at::SDPBackend::cudnn_attention);
#endif
}

}  // namespace
}  // namespace opencloc::ops

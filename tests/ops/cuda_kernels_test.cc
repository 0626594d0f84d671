// How operations and whole blocks use our CUDA kernels, without a GPU: on the tests' device of main
// memory, with the kernels run by the CPU.
#include "opencloc/ops/cuda_kernels.h"

#include <gtest/gtest.h>
#include <torch/utils.h>

#include "compare.h"
#include "opencloc/base/error.h"
#include "opencloc/kernels/cuda/gelu.cu"
#include "opencloc/kernels/cuda/layer_norm.cu"
#include "opencloc/kernels/cuda/table.cu"
#include "opencloc/ops/precision.h"
#include "tests/fake_device.h"

namespace opencloc::ops {
namespace {

class CudaKernels : public testing::Test {
 protected:
  CudaKernels() { set_cuda_kernels(c10::DeviceType::XPU, opencloc_cuda_kernels()); }
  ~CudaKernels() override { set_cuda_kernels(c10::DeviceType::XPU, nullptr); }
  const ComputeScope scope_{Precision::kBf16, Backend::kTorch};
};

// On the device, in bf16, with our kernels or without.
Tensors on_device(const Op& op, const Tensors& inputs) {
  const Op moved = [&](const Tensors& t) {
    Tensors there;
    for (const auto& input : t) there.push_back(input.to(fixtures::fake_device()));
    return op(there).to(torch::kFloat).to(torch::kCPU);
  };
  return output_and_gradients(moved, inputs, torch::kFloat);
}

void expect_close(const Op& op, const Tensors& inputs) {
  const auto with = on_device(op, inputs);
  set_cuda_kernels(c10::DeviceType::XPU, nullptr);
  const auto without = on_device(op, inputs);
  set_cuda_kernels(c10::DeviceType::XPU, opencloc_cuda_kernels());
  for (size_t i = 0; i < with.size(); ++i) {
    EXPECT_LE(largest_difference(with[i], without[i]),
              0.02 * std::max(1.0, without[i].abs().max().item<double>()))
        << i;
  }
}

TEST_F(CudaKernels, BranchesAgreeWithLibtorch) {
  torch::manual_seed(1);
  const auto both = [](const BranchStart& start) {
    return start.x.to(torch::kFloat) * 0.5 + start.normed.to(torch::kFloat);
  };
  const Tensors inputs{random({2, 5, 24}), random({2, 5, 24}), random({24}), random({24})};
  expect_close(
      [&](const Tensors& t) {
        return both(add_branch_start(as_activation(t[0]), as_activation(t[1]), t[2], t[3]));
      },
      inputs);
  expect_close(
      [&](const Tensors& t) { return both(branch_start(as_activation(t[0]), t[2], t[3])); },
      inputs);
  expect_close(
      [&](const Tensors& t) {  // the sum goes nowhere; then the norm
        return add_branch_start(as_activation(t[0]), as_activation(t[1]), t[2], t[3]).normed;
      },
      inputs);
  expect_close(
      [&](const Tensors& t) {
        return add_branch_start(as_activation(t[0]), as_activation(t[1]), t[2], t[3]).x;
      },
      inputs);
}

TEST_F(CudaKernels, MlpAgreesWithLibtorch) {
  torch::manual_seed(2);
  for (const auto kind : {Gelu::kErf, Gelu::kQuick, Gelu::kTanh}) {
    expect_close([&](const Tensors& t) { return mlp(t[0], mlp_weights_of(t, kind)); },
                 {random({3, 4, 8}), random({20, 8}), random({20}), random({8, 20}), random({8})});
  }
}

// They are used, and only for bf16: what they are not made for goes to libtorch.
TEST_F(CudaKernels, ServeOnlyWhatTheyAreMadeFor) {
  static int calls = 0;
  auto counting = *opencloc_cuda_kernels();
  counting.add_layer_norm_forward = [](const kernels::cuda::AddLayerNorm& call,
                                       kernels::cuda::Stream stream) {
    ++calls;
    return opencloc_cuda_kernels()->add_layer_norm_forward(call, stream);
  };
  set_cuda_kernels(c10::DeviceType::XPU, &counting);
  const auto there = [](const torch::Tensor& t) { return t.to(fixtures::fake_device()); };
  const auto x = there(random({3, 8})), weight = there(random({8})), bias = there(random({8}));
  calls = 0;
  branch_start(x.to(torch::kBFloat16), weight, bias);
  EXPECT_EQ(calls, 1);
  branch_start(x, weight, bias);
  const auto host = random({3, 8});
  branch_start(host.to(torch::kBFloat16), random({8}), random({8}));
  EXPECT_EQ(calls, 1);
}

TEST_F(CudaKernels, AKernelThatDoesNotStartIsAnError) {
  auto broken = *opencloc_cuda_kernels();
  broken.gelu_forward = [](kernels::cuda::CudaGelu, int64_t, const uint16_t*, uint16_t*,
                           kernels::cuda::Stream) { return 209; };
  set_cuda_kernels(c10::DeviceType::XPU, &broken);
  const auto there = [](std::vector<int64_t> sizes) {
    return random(sizes).to(fixtures::fake_device());
  };
  EXPECT_THROW(mlp(there({2, 8}), {there({16, 8}), there({16}), there({8, 16}), there({8})}),
               Error);
}

// What an operation keeps for its backward pass, beside its inputs and its output: what
// tools/gpu_memory counts of it.
int64_t kept_by(const Op& op, const Tensors& inputs) {
  Tensors there;
  for (const auto& input : inputs)
    there.push_back(input.to(fixtures::fake_device()).requires_grad_());
  { const auto warm = op(there); }  // weights are rounded
  const int64_t before = fixtures::fake_bytes_in_use();
  const auto y = op(there);
  return fixtures::fake_bytes_in_use() - before - static_cast<int64_t>(y.nbytes());
}

TEST_F(CudaKernels, OperationsKeepWhatTheTableOfMemoryCounts) {
  torch::manual_seed(4);
  const int64_t rows = 6, width = 64, values = rows * width;
  const auto x = random({rows, width}).to(torch::kBFloat16);
  const auto gain = random({width}), bias = random({width});
  const Op to_linear = [](const Tensors& t) { return ops::linear(t[0], t[1], t[2]); };
  EXPECT_EQ(kept_by(to_linear, {x, random({width, width}), bias}), 0) << "its input is there";
  const Op to_mlp = [](const Tensors& t) { return mlp(t[0], mlp_weights_of(t, Gelu::kErf)); };
  EXPECT_EQ(kept_by(to_mlp, {x, random({4 * width, width}), random({4 * width}),
                             random({width, 4 * width}), bias}),
            2 * 4 * values)
      << "the hidden layer before the GELU";
  const Op to_norm = [](const Tensors& t) {
    return add_branch_start(t[0], t[1], t[2], t[3]).normed;
  };
  EXPECT_EQ(kept_by(to_norm, {x, x, gain, bias}), 2 * values + 2 * 4 * rows)
      << "the sum; a mean and a deviation a row";
}

}  // namespace
}  // namespace opencloc::ops

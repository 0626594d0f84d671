// Checks an op and its gradients against its reference in double precision, on every instruction
// set this processor has and on one and several threads.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "opencloc/kernels/isa/isa.h"
#include "opencloc/kernels/parallel.h"
#include "opencloc/ops/ops.h"

namespace opencloc::ops {

using Tensors = std::vector<torch::Tensor>;
using Op = std::function<torch::Tensor(const Tensors&)>;

// The weights of an MLP among an op's inputs (x, w1, b1, w2, b2).
inline MlpWeights mlp_weights_of(const Tensors& t, Gelu kind) {
  return {t[1], t[2], t[3], t[4], kind};
}

// The op's output followed by the gradients of sum(output * weights) for every input, where the
// weights are fixed numbers of both signs.
inline Tensors output_and_gradients(const Op& op, const Tensors& inputs, torch::Dtype type) {
  Tensors leaves;
  for (const auto& input : inputs) {
    leaves.push_back(input.detach().to(type).clone().requires_grad_(true));
  }
  const auto y = op(leaves);
  const auto weights =
      torch::cos(torch::arange(y.numel(), torch::kDouble) * 0.7).view(y.sizes()).to(type);
  (y * weights).sum().backward();
  Tensors results{y.detach()};
  for (const auto& leaf : leaves) {
    results.push_back(leaf.grad().defined() ? leaf.grad() : torch::zeros_like(leaf));
  }
  return results;
}

inline double largest_difference(const torch::Tensor& a, const torch::Tensor& b) {
  if (a.numel() == 0) return 0;
  return (a.to(torch::kDouble) - b.to(torch::kDouble)).abs().max().item<double>();
}

// |difference| <= tolerance * max(1, largest element of the reference), for output and gradients.
inline void expect_agree(const Op& op, const Op& reference, const Tensors& inputs,
                         double tolerance) {
  const Tensors wanted = output_and_gradients(reference, inputs, torch::kDouble);
  for (const kernels::Isa isa : kernels::supported_isas()) {
    kernels::set_active_isa(isa);
    for (const int threads : {1, 3}) {
      kernels::set_thread_count(threads);
      SCOPED_TRACE(std::string(kernels::to_string(isa)) + ", threads " + std::to_string(threads));
      const Tensors got = output_and_gradients(op, inputs, torch::kFloat);
      ASSERT_EQ(got.size(), wanted.size());
      for (size_t i = 0; i < got.size(); ++i) {
        SCOPED_TRACE(i == 0 ? "output" : "gradient of input " + std::to_string(i - 1));
        ASSERT_EQ(got[i].sizes(), wanted[i].sizes());
        const double scale =
            got[i].numel() == 0 ? 1.0 : std::max(1.0, wanted[i].abs().max().item<double>());
        EXPECT_LE(largest_difference(got[i], wanted[i]), tolerance * scale);
      }
      const Tensors again = output_and_gradients(op, inputs, torch::kFloat);
      for (size_t i = 0; i < got.size(); ++i) {
        EXPECT_TRUE(torch::equal(got[i], again[i])) << "result " << i << " is not repeatable";
      }
    }
  }
  kernels::set_active_isa(kernels::supported_isas().back());
  kernels::set_thread_count(1);
}

// The gradients of `op` in F32 against central differences of the same op.
inline void expect_gradients_match_differences(const Op& op, const Tensors& inputs,
                                               double tolerance) {
  const Tensors got = output_and_gradients(op, inputs, torch::kFloat);
  const torch::NoGradGuard no_grad;
  const auto loss = [&](const Tensors& at) {
    const auto y = op(at).to(torch::kDouble);
    const auto weights = torch::cos(torch::arange(y.numel(), torch::kDouble) * 0.7).view(y.sizes());
    return (y * weights).sum().item<double>();
  };
  constexpr float kStep = 5e-3f;
  for (size_t i = 0; i < inputs.size(); ++i) {
    Tensors moved;
    for (const auto& input : inputs) moved.push_back(input.clone());
    float* values = moved[i].data_ptr<float>();
    for (int64_t j = 0; j < moved[i].numel(); j += 1 + moved[i].numel() / 12) {
      const float middle = values[j];
      const auto loss_with = [&](float value) {
        values[j] = value;
        moved[i].unsafeGetTensorImpl()->bump_version();  // weights are kept packed
        return loss(moved);
      };
      const double above = loss_with(middle + kStep), below = loss_with(middle - kStep);
      values[j] = middle;
      const double difference = (above - below) / (2.0 * static_cast<double>(kStep));
      const double gradient = got[i + 1].flatten()[j].item<double>();
      EXPECT_NEAR(gradient, difference, tolerance * std::max(1.0, std::abs(difference)))
          << "input " << i << ", element " << j;
    }
  }
}

inline torch::Tensor random(torch::IntArrayRef sizes, double scale = 1.0) {
  return torch::randn(sizes) * scale;
}

}  // namespace opencloc::ops

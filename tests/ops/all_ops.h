// Every operation that our kernels and libtorch can both do.
#pragma once

#include <vector>

#include "opencloc/ops/indexed_attention.h"
#include "opencloc/ops/mean_of_mlp.h"
#include "opencloc/ops/ops.h"
#include "tests/ops/compare.h"

namespace opencloc::ops {

// With inputs that suit it.
struct OneOp {
  const char* name;
  Op op;
  std::vector<std::vector<int64_t>> inputs;
};
inline torch::Tensor both_of(const PartialAttention& part) {
  return torch::cat({part.out, part.log_sum_exp.unsqueeze(-1)}, -1);
}
inline std::vector<OneOp> all_ops() {
  const auto index = torch::tensor({2, 0, 2, 2, 3}, torch::kInt64);  // none of row 1
  std::vector<OneOp> ops = {
      {"linear",
       [](const Tensors& t) { return ops::linear(t[0], t[1], t[2]); },
       {{3, 5, 8}, {6, 8}, {6}}},
      {"linear without bias",
       [](const Tensors& t) { return ops::linear(t[0], t[1]); },
       {{4, 8}, {6, 8}}},
      {"linear of a view",
       [](const Tensors& t) { return ops::linear(t[0], t[1].t(), {}); },
       {{4, 8}, {8, 6}}},
      {"layer_norm",
       [](const Tensors& t) { return ops::layer_norm(t[0], t[1], t[2], 1e-5); },
       {{4, 3, 16}, {16}, {16}}},
      {"branch_start",
       [](const Tensors& t) {
         const auto start = branch_start(t[0], t[1], t[2]);
         return start.x + start.normed;
       },
       {{4, 3, 16}, {16}, {16}}},
      {"add", [](const Tensors& t) { return ops::add(t[0], t[1]); }, {{4, 3, 16}, {4, 3, 16}}},
      {"self_attention",
       [](const Tensors& t) { return self_attention(t[0], 2, Mask::kNone); },
       {{3, 9, 48}}},
      {"causal self_attention",
       [](const Tensors& t) { return self_attention(t[0], 2, Mask::kCausal); },
       {{3, 9, 48}}},
      {"cross_attention",
       [](const Tensors& t) { return cross_attention(t[0], t[1], t[2], 2); },
       {{3, 4, 16}, {3, 9, 16}, {3, 9, 16}}},
      {"indexed_attention",
       [=](const Tensors& t) { return both_of(indexed_attention(t[0], t[1], index)); },
       {{5, 3, 8}, {4, 7, 16}}},
      {"add_merged",
       [=](const Tensors& t) {
         return add_merged(t[0], indexed_attention(t[0], t[1], index),
                           indexed_attention(t[0], t[2], index));
       },
       {{5, 3, 8}, {4, 7, 16}, {4, 2, 16}}},
      {"mean_over_tokens", [](const Tensors& t) { return mean_over_tokens(t[0]); }, {{3, 7, 8}}},
  };
  for (const auto kind : {Gelu::kErf, Gelu::kQuick, Gelu::kTanh}) {
    ops.push_back({"gelu", [=](const Tensors& t) { return ops::gelu(t[0], kind); }, {{5, 9}}});
    ops.push_back({"mlp",
                   [=](const Tensors& t) { return ops::mlp(t[0], mlp_weights_of(t, kind)); },
                   {{3, 4, 8}, {32, 8}, {32}, {8, 32}, {8}}});
    ops.push_back({"mean_of_mlp",
                   [=](const Tensors& t) { return mean_of_mlp(t[0], mlp_weights_of(t, kind)); },
                   {{3, 4, 8}, {32, 8}, {32}, {8, 32}, {8}}});
  }
  return ops;
}
inline Tensors inputs_of(const OneOp& one) {
  torch::manual_seed(11);
  Tensors inputs;
  for (const auto& sizes : one.inputs) inputs.push_back(random(sizes, 0.7));
  return inputs;
}

}  // namespace opencloc::ops

// Transformer blocks with libtorch's plain operations, for restatements of what others published.
#pragma once

#include <cmath>
#include <map>
#include <string>

#include <torch/nn/module.h>
#include <torch/types.h>
#include <torch/utils.h>

namespace opencloc::fixtures {

// The weights of a module, and layers that read them.
class Plain {
 public:
  explicit Plain(const torch::nn::Module& module) {
    for (const auto& item : module.named_parameters()) weights_[item.key()] = item.value();
  }
  const torch::Tensor& at(const std::string& name) const { return weights_.at(name); }
  torch::Tensor norm(const torch::Tensor& x, const std::string& name) const {
    return torch::layer_norm(x, {x.size(-1)}, at(name + ".weight"), at(name + ".bias"), 1e-5);
  }
  torch::Tensor linear(const torch::Tensor& x, const std::string& name) const {
    return torch::matmul(x, at(name + ".weight").t()) + at(name + ".bias");
  }
  torch::Tensor block(torch::Tensor x, const std::string& name, int64_t heads) const {
    const int64_t batch = x.size(0), places = x.size(1), width = x.size(2) / heads;
    const auto qkv = torch::matmul(norm(x, name + ".ln_1"), at(name + ".attn.in_proj_weight").t()) +
                     at(name + ".attn.in_proj_bias");
    const auto parts = qkv.view({batch, places, 3, heads, width}).permute({2, 0, 3, 1, 4});
    const auto scores = torch::matmul(parts[0], parts[1].transpose(-1, -2)) / std::sqrt(width);
    const auto read = torch::matmul(scores.softmax(-1), parts[2]).transpose(1, 2).flatten(2);
    x = x + linear(read, name + ".attn.out_proj");
    return x + linear(torch::gelu(linear(norm(x, name + ".ln_2"), name + ".mlp.c_fc")),
                      name + ".mlp.c_proj");
  }

 private:
  std::map<std::string, torch::Tensor> weights_;
};

}  // namespace opencloc::fixtures

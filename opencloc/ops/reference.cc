#include "opencloc/ops/reference.h"

#include <torch/nn/functional/linear.h>

namespace opencloc::ops::reference {

torch::Tensor linear(const torch::Tensor& x, const torch::Tensor& weight,
                     const torch::Tensor& bias) {
  return torch::nn::functional::linear(x, weight, bias);
}

torch::Tensor gelu(const torch::Tensor& x, Gelu kind) {
  if (kind == Gelu::kQuick) return x * torch::sigmoid(1.702 * x);
  return torch::gelu(x, kind == Gelu::kTanh ? "tanh" : "none");
}

torch::Tensor mlp(const torch::Tensor& x, const MlpWeights& w) {
  const auto hidden = reference::gelu(reference::linear(x, w.fc_weight, w.fc_bias), w.gelu);
  return reference::linear(hidden, w.proj_weight, w.proj_bias);
}

torch::Tensor layer_norm(const torch::Tensor& x, const torch::Tensor& weight,
                         const torch::Tensor& bias, double epsilon) {
  return torch::layer_norm(x, {x.size(-1)}, weight, bias, epsilon);
}

torch::Tensor self_attention(const torch::Tensor& qkv, int64_t heads, Mask mask) {
  const int64_t batch = qkv.size(0), tokens = qkv.size(1), width = qkv.size(2) / 3;
  const auto split = qkv.view({batch, tokens, 3, heads, width / heads}).permute({2, 0, 3, 1, 4});
  const auto q = split[0], k = split[1], v = split[2];  // [B, heads, T, D/heads]
  auto scores =
      torch::matmul(q * (1.0 / std::sqrt(static_cast<double>(width / heads))), k.transpose(-2, -1));
  if (mask == Mask::kCausal) {
    const auto hidden =
        torch::ones({tokens, tokens}, torch::dtype(torch::kBool).device(qkv.device())).triu(1);
    scores = scores.masked_fill(hidden, -std::numeric_limits<float>::infinity());
  }
  const auto out = torch::matmul(torch::softmax(scores, -1), v);  // [B, heads, T, D/heads]
  return out.transpose(1, 2).reshape({batch, tokens, width});     // [B, T, D]
}

torch::Tensor cross_attention(const torch::Tensor& q, const torch::Tensor& k,
                              const torch::Tensor& v, int64_t heads) {
  const int64_t batch = q.size(0), width = q.size(2);
  const auto split = [&](const torch::Tensor& x) {
    return x.view({batch, x.size(1), heads, width / heads}).transpose(1, 2);
  };
  const auto scores = torch::matmul(
      split(q) * (1.0 / std::sqrt(static_cast<double>(width / heads))), split(k).transpose(-2, -1));
  const auto out = torch::matmul(torch::softmax(scores, -1), split(v));
  return out.transpose(1, 2).reshape({batch, q.size(1), width});
}

}  // namespace opencloc::ops::reference

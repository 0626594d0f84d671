#include "opencloc/ops/on_torch.h"

#include <cmath>

#include <torch/autograd.h>
#include <torch/utils.h>

#include "opencloc/ops/cuda_kernels.h"
#include "opencloc/ops/dispatch.h"
#include "opencloc/ops/packed_weights.h"
#include "opencloc/ops/reference.h"
#include "opencloc/ops/torch_compat.h"

namespace opencloc::ops::on_torch {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

bool takes_bf16(const torch::Tensor& x) {
  return activations_are_bf16(x.device()) &&
         (x.scalar_type() == torch::kFloat || x.scalar_type() == torch::kBFloat16);
}

// dy, x [..., O], [..., I] -> [O, I] F32.
torch::Tensor weight_gradient(const torch::Tensor& dy, const torch::Tensor& x) {
  const auto rows_of = [](const torch::Tensor& t) { return t.reshape({row_count(t), t.size(-1)}); };
  return torch::mm(rows_of(dy).t(), rows_of(x)).to(torch::kFloat);
}
// -> [O] F32, added in F32.
torch::Tensor bias_gradient(const torch::Tensor& dy) {
  return dy.reshape({row_count(dy), dy.size(-1)}).sum(0, /*keepdim=*/false, torch::kFloat);
}

OptionalTensor optional_of(const torch::Tensor& t) {
  return t.defined() ? OptionalTensor(t) : OptionalTensor();
}

struct LinearBf16OnTorch : torch::autograd::Function<LinearBf16OnTorch> {
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& input,
                               const torch::Tensor& weight_input,
                               const OptionalTensor& bias_input) {
    const auto x = input.to(torch::kBFloat16), weight = rounded_bf16(weight_input);
    ctx->save_for_backward({x, weight});
    ctx->saved_data["f32"] = input.scalar_type() == torch::kFloat;
    ctx->saved_data["has_bias"] = bias_input.has_value();
    return at::linear(x, weight,
                      optional_of(bias_input ? rounded_bf16(*bias_input) : torch::Tensor()));
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &dy = grads[0];
    torch::Tensor dx, dweight, dbias;
    if (ctx->needs_input_grad(0)) {
      dx = torch::matmul(dy, weight);
      if (ctx->saved_data["f32"].toBool()) dx = dx.to(torch::kFloat);
    }
    if (ctx->needs_input_grad(1)) dweight = weight_gradient(dy, x);
    if (ctx->saved_data["has_bias"].toBool() && ctx->needs_input_grad(2)) dbias = bias_gradient(dy);
    return {dx, dweight, dbias};
  }
};

torch::Tensor gelu_gradient(const torch::Tensor& dh, const torch::Tensor& z, Gelu kind) {
  if (kind == Gelu::kQuick) {
    const auto s = torch::sigmoid(1.702 * z);
    return dh * (s + 1.702 * z * s * (1 - s));
  }
  return torch::gelu_backward(dh, z, kind == Gelu::kTanh ? "tanh" : "none");
}

// Keeps the hidden layer before the GELU; after it, it is cheaper to compute again than to keep.
struct MlpBf16OnTorch : torch::autograd::Function<MlpBf16OnTorch> {
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& input,
                               const torch::Tensor& fc_weight, const torch::Tensor& fc_bias,
                               const torch::Tensor& proj_weight, const torch::Tensor& proj_bias,
                               int64_t kind) {
    const auto x = input.to(torch::kBFloat16);
    const auto fc = rounded_bf16(fc_weight), proj = rounded_bf16(proj_weight);
    const auto z = at::linear(x, fc, rounded_bf16(fc_bias));  // [..., F]
    const auto* kernels = cuda_kernels(z.device());
    const auto h = kernels != nullptr ? gelu_by(*kernels, z, static_cast<Gelu>(kind))
                                      : reference::gelu(z, static_cast<Gelu>(kind));  // [..., F]
    ctx->save_for_backward({x, fc, proj, z});
    ctx->saved_data["kind"] = kind;
    ctx->saved_data["f32"] = input.scalar_type() == torch::kFloat;
    return at::linear(h, proj, rounded_bf16(proj_bias));
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &fc = saved[1], &proj = saved[2], &z = saved[3], &dy = grads[0];
    const auto kind = static_cast<Gelu>(ctx->saved_data["kind"].toInt());
    const auto* kernels = cuda_kernels(z.device());
    const auto dproj = weight_gradient(
        dy, kernels != nullptr ? gelu_by(*kernels, z, kind) : reference::gelu(z, kind));
    const auto dh = torch::matmul(dy, proj);  // [..., F]
    GeluGradient of_hidden;
    if (kernels != nullptr) {
      of_hidden = gelu_gradient_by(*kernels, dh, z, kind);
    } else {
      of_hidden.z = gelu_gradient(dh, z, kind);
      of_hidden.bias = bias_gradient(of_hidden.z);
    }
    const auto& dz = of_hidden.z;
    torch::Tensor dx;
    if (ctx->needs_input_grad(0)) {
      dx = torch::matmul(dz, fc);
      if (ctx->saved_data["f32"].toBool()) dx = dx.to(torch::kFloat);
    }
    return {dx, weight_gradient(dz, x), of_hidden.bias, dproj, bias_gradient(dy), torch::Tensor()};
  }
};

// x [B, T, heads * d] -> [B, heads, T, d], a view.
torch::Tensor by_heads(const torch::Tensor& x, int64_t heads) {
  return x.unflatten(2, {heads, x.size(2) / heads}).transpose(1, 2);
}

// Heads together again: [B, heads, T, d] -> [B, T, heads * d].
torch::Tensor joined(const torch::Tensor& out) { return out.transpose(1, 2).flatten(2); }

}  // namespace

torch::Tensor linear(const torch::Tensor& x, const torch::Tensor& weight,
                     const torch::Tensor& bias) {
  if (takes_bf16(x)) return LinearBf16OnTorch::apply(x, weight, optional_of(bias));
  return reference::linear(x, weight, bias);
}

torch::Tensor gelu(const torch::Tensor& x, Gelu kind) { return reference::gelu(x, kind); }

torch::Tensor mlp(const torch::Tensor& x, const MlpWeights& w) {
  if (!takes_bf16(x)) return reference::mlp(x, w);
  return MlpBf16OnTorch::apply(x, w.fc_weight, w.fc_bias, w.proj_weight, w.proj_bias,
                               static_cast<int64_t>(w.gelu));
}

torch::Tensor layer_norm(const torch::Tensor& x, const torch::Tensor& weight,
                         const torch::Tensor& bias, double epsilon) {
  const auto type = x.scalar_type();  // sums are F32 within, and gain and bias D numbers
  return reference::layer_norm(x, weight.defined() ? weight.to(type) : weight,
                               bias.defined() ? bias.to(type) : bias, epsilon);
}

BranchStart add_branch_start(const torch::Tensor& x, const torch::Tensor& added,
                             const torch::Tensor& weight, const torch::Tensor& bias,
                             double epsilon) {
  const auto* kernels = cuda_kernels(x.device());
  const bool serve = kernels != nullptr && x.scalar_type() == torch::kBFloat16 &&
                     (!added.defined() || added.scalar_type() == torch::kBFloat16) &&
                     weight.defined() && bias.defined() && weight.scalar_type() == torch::kFloat &&
                     x.size(-1) <= kernels::cuda::kMaxWidth;
  if (serve) return add_layer_norm(*kernels, x, added, weight, bias, epsilon);
  const auto sum = added.defined() ? x + added : x;
  return {sum, on_torch::layer_norm(sum, weight, bias, epsilon)};
}

torch::Tensor self_attention(const torch::Tensor& qkv, int64_t heads, Mask mask) {
  TORCH_CHECK(qkv.dim() == 3 && heads > 0 && qkv.size(2) % (3 * heads) == 0, "self_attention: qkv ",
              qkv.sizes(), " does not split into ", heads, " heads");
  if (!kHasFusedAttention || qkv.numel() == 0) return reference::self_attention(qkv, heads, mask);
  const auto parts = qkv.chunk(3, -1);  // [B, T, D] each
  return joined(fused_attention(by_heads(parts[0], heads), by_heads(parts[1], heads),
                                by_heads(parts[2], heads), mask == Mask::kCausal));
}

torch::Tensor cross_attention(const torch::Tensor& q, const torch::Tensor& k,
                              const torch::Tensor& v, int64_t heads) {
  TORCH_CHECK(q.dim() == 3 && heads > 0 && q.size(2) % heads == 0 && k.sizes() == v.sizes() &&
                  k.dim() == 3 && k.size(0) == q.size(0) && k.size(2) == q.size(2) &&
                  (k.size(1) > 0 || q.numel() == 0),
              "cross_attention: q ", q.sizes(), ", k ", k.sizes(), ", v ", v.sizes(), ", ", heads,
              " heads do not fit together");
  if (!kHasFusedAttention || q.numel() == 0) return reference::cross_attention(q, k, v, heads);
  return joined(fused_attention(by_heads(q, heads), by_heads(k, heads), by_heads(v, heads),
                                /*causal=*/false));
}

}  // namespace opencloc::ops::on_torch

namespace opencloc::ops {

torch::Tensor as_activation(const torch::Tensor& x) {
  return on_torch::takes_bf16(x) ? x.to(torch::kBFloat16) : x;
}

}  // namespace opencloc::ops

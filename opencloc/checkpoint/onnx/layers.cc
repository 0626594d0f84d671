#include "opencloc/checkpoint/onnx/layers.h"

#include <cmath>
#include <limits>
#include <numbers>

#include <torch/utils.h>

namespace opencloc::onnx {

Layers::Layers(Graph& graph, const std::vector<std::pair<std::string, torch::Tensor>>& weights)
    : graph_(graph), weights_(weights.begin(), weights.end()) {}

const torch::Tensor& Layers::weight(const std::string& name) const {
  const auto found = weights_.find(name);
  TORCH_CHECK(found != weights_.end(), "the model has no parameter ", name);
  return found->second;
}

Value Layers::scaled(const Value& x, double factor) {
  return multiply(x, graph_.number(static_cast<float>(factor)));
}

Value Layers::reshape(const Value& x, const std::vector<int64_t>& shape) {
  return graph_.node("Reshape", {x, graph_.ints(shape)});
}

Value Layers::transpose(const Value& x, const std::vector<int64_t>& order) {
  return graph_.node("Transpose", {x}, {{"perm", order}});
}

Value Layers::slice(const Value& x, int64_t axis, int64_t begin, int64_t end) {
  return graph_.node("Slice", {x, graph_.ints({begin}), graph_.ints({end}), graph_.ints({axis})});
}

Value Layers::concat(const std::vector<Value>& parts, int64_t axis) {
  return graph_.node("Concat", parts, {{"axis", axis}});
}

Value Layers::unsqueeze(const Value& x, int64_t axis) {
  return graph_.node("Unsqueeze", {x, graph_.ints({axis})});
}

Value Layers::mean(const Value& x, int64_t axis) {
  return graph_.node("ReduceMean", {x},
                     {{"axes", std::vector<int64_t>{axis}}, {"keepdims", int64_t{0}}});
}

Value Layers::multiplied(const Value& x, const std::string& name, const torch::Tensor& weight,
                         const torch::Tensor& bias) {
  const torch::NoGradGuard no_grad;
  const auto product =
      graph_.node("MatMul", {x, graph_.stored(name + ".weight", weight.detach().t())});  // [I, O]
  return bias.defined() ? add(product, graph_.stored(name + ".bias", bias)) : product;
}

Value Layers::linear(const Value& x, const std::string& name) {
  return multiplied(x, name, weight(name + ".weight"), weight(name + ".bias"));
}

Value Layers::in_proj(const Value& x, const std::string& attention, int64_t part) {
  constexpr const char* kParts[] = {".q", ".k", ".v"};
  const auto rows = [&](const char* of) {
    return weight(attention + of).detach().chunk(3, 0)[static_cast<size_t>(part)];
  };
  return multiplied(x, attention + kParts[part], rows(".in_proj_weight"), rows(".in_proj_bias"));
}

Value Layers::project(const Value& x, const std::string& name) {
  return graph_.node("MatMul", {x, stored(name)});
}

Value Layers::layer_norm(const Value& x, const std::string& name, double epsilon) {
  return graph_.node("LayerNormalization", {x, stored(name + ".weight"), stored(name + ".bias")},
                     {{"axis", int64_t{-1}}, {"epsilon", static_cast<float>(epsilon)}});
}

Value Layers::gelu(const Value& x, ops::Gelu kind) {
  if (kind == ops::Gelu::kQuick) return multiply(x, graph_.node("Sigmoid", {scaled(x, 1.702)}));
  Value share;  // in [-1, 1]
  if (kind == ops::Gelu::kErf) {
    share = graph_.node("Erf", {scaled(x, 1 / std::numbers::sqrt2)});
  } else {
    const auto cube = multiply(multiply(x, x), x);
    share = graph_.node("Tanh",
                        {scaled(add(x, scaled(cube, 0.044715)), std::sqrt(2 / std::numbers::pi))});
  }
  return multiply(scaled(x, 0.5), add(share, graph_.number(1)));
}

Value Layers::mlp(const Value& x, const std::string& name, ops::Gelu kind) {
  return linear(gelu(linear(x, name + ".c_fc"), kind), name + ".c_proj");
}

Value Layers::attend(const Value& q, const Value& k_t, const Value& v, int64_t width,
                     const Value& mask) {
  const double scale = 1 / std::sqrt(static_cast<double>(width));
  auto scores = graph_.node("MatMul", {scaled(q, scale), k_t});
  if (!mask.empty()) scores = add(scores, mask);
  return graph_.node("MatMul", {softmax(scores), v});
}

// [B, T, D] -> [B, T, H, d], transposed.
Value Layers::heads_of(const Value& x, int64_t heads, int64_t width,
                       const std::vector<int64_t>& order) {
  return transpose(reshape(x, {0, 0, heads, width / heads}), order);
}

Value Layers::self_attention(const Value& x, const std::string& name, int64_t heads,
                             const Value& mask) {
  const int64_t width = weight(name + ".in_proj_weight").size(1);
  const auto q = heads_of(in_proj(x, name, 0), heads, width, {0, 2, 1, 3});    // [B, H, T, d]
  const auto k_t = heads_of(in_proj(x, name, 1), heads, width, {0, 2, 3, 1});  // [B, H, d, T]
  const auto v = heads_of(in_proj(x, name, 2), heads, width, {0, 2, 1, 3});    // [B, H, T, d]
  const auto read = transpose(attend(q, k_t, v, width / heads, mask), {0, 2, 1, 3});
  return linear(reshape(read, {0, 0, width}), name + ".out_proj");  // [B, T, D]
}

Value Layers::block(const Value& x, const std::string& name, const BlockConfig& config,
                    const Value& mask) {
  const double eps = config.layer_norm_eps;
  const auto attended = add(
      x, self_attention(layer_norm(x, name + ".ln_1", eps), name + ".attn", config.heads, mask));
  return add(attended, mlp(layer_norm(attended, name + ".ln_2", eps), name + ".mlp", config.gelu));
}

Value Layers::transformer(Value x, const std::string& name, const BlockConfig& config,
                          int64_t layers, const Value& mask, std::vector<Value>* after) {
  for (int64_t i = 0; i < layers; ++i) {
    if (after != nullptr) after->push_back(x);
    x = block(x, name + ".resblocks." + std::to_string(i), config, mask);
  }
  if (after != nullptr) after->push_back(x);
  return x;
}

Value Layers::attention_pool(const Value& tokens, const std::string& name,
                             const BlockConfig& config) {
  const int64_t heads = config.heads, width = config.width;
  const std::string attn = name + ".attn";
  const auto order = std::vector<int64_t>{0, 2, 1, 3};
  const auto q = heads_of(in_proj(stored(name + ".probe"), attn, 0), heads, width, order);
  const auto k_t = heads_of(in_proj(tokens, attn, 1), heads, width, {0, 2, 3, 1});
  const auto v = heads_of(in_proj(tokens, attn, 2), heads, width, order);
  const auto read = transpose(attend(q, k_t, v, width / heads), order);     // [B, 1, H, d]
  const auto x = linear(reshape(read, {0, 0, width}), attn + ".out_proj");  // [B, 1, D]
  const auto normed = layer_norm(x, name + ".ln", config.layer_norm_eps);
  return reshape(add(x, mlp(normed, name + ".mlp", config.gelu)), {0, width});  // [B, D]
}

}  // namespace opencloc::onnx

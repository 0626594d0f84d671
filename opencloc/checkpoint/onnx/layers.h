// The layers that our models are made of (model/layers), as operators of an ONNX graph. Each takes
// the name of its weights, as the model's parameters have it, and says the same as the layer.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "opencloc/checkpoint/onnx/graph.h"
#include "opencloc/model/layers/transformer.h"

namespace opencloc::onnx {

class Layers {
 public:
  // `weights`: parameters under their names. The graph outlives this.
  Layers(Graph& graph, const std::vector<std::pair<std::string, torch::Tensor>>& weights);

  bool has(const std::string& name) const { return weights_.contains(name); }
  const torch::Tensor& weight(const std::string& name) const;
  // The parameter as it is.
  Value stored(const std::string& name) { return graph_.stored(name, weight(name)); }

  Value add(const Value& a, const Value& b) { return graph_.node("Add", {a, b}); }
  Value multiply(const Value& a, const Value& b) { return graph_.node("Mul", {a, b}); }
  Value scaled(const Value& x, double factor);
  Value reshape(const Value& x, const std::vector<int64_t>& shape);  // 0: as it is; -1: the rest
  Value transpose(const Value& x, const std::vector<int64_t>& order);
  // begin .. end along an axis.
  Value slice(const Value& x, int64_t axis, int64_t begin, int64_t end);
  Value concat(const std::vector<Value>& parts, int64_t axis);
  Value unsqueeze(const Value& x, int64_t axis);
  Value softmax(const Value& x) { return graph_.node("Softmax", {x}, {{"axis", int64_t{-1}}}); }
  Value mean(const Value& x, int64_t axis);  // the axis goes

  // x [..., I] -> [..., O], of NAME.weight [O, I] and NAME.bias.
  Value linear(const Value& x, const std::string& name);
  // Rows part * width .. of NAME_weight and NAME_bias: one of the projections of attention, 0 the
  // queries, 1 the keys, 2 the values.
  Value in_proj(const Value& x, const std::string& attention, int64_t part);
  // x [..., I] -> [..., O] by a parameter [I, O].
  Value project(const Value& x, const std::string& name);
  Value layer_norm(const Value& x, const std::string& name, double epsilon = 1e-5);
  Value gelu(const Value& x, ops::Gelu kind);
  Value mlp(const Value& x, const std::string& name, ops::Gelu kind);
  // softmax(q k^T / sqrt(d) + mask) v of q [.., Tq, d], k_t [.., d, Tk], v [.., Tk, d].
  Value attend(const Value& q, const Value& k_t, const Value& v, int64_t width,
               const Value& mask = {});
  // [B, T, D] -> [B, T, D]; mask [T, T], added to the scores.
  Value self_attention(const Value& x, const std::string& name, int64_t heads, const Value& mask);
  Value block(const Value& x, const std::string& name, const BlockConfig& config,
              const Value& mask = {});
  // NAME.resblocks.0, 1, ... `after` receives what there is after 0, 1, ... blocks.
  Value transformer(Value x, const std::string& name, const BlockConfig& config, int64_t layers,
                    const Value& mask = {}, std::vector<Value>* after = nullptr);
  // SigLIP's pooling head, [B, T, D] -> [B, D].
  Value attention_pool(const Value& tokens, const std::string& name, const BlockConfig& config);

 private:
  Value multiplied(const Value& x, const std::string& name, const torch::Tensor& weight,
                   const torch::Tensor& bias);
  Value heads_of(const Value& x, int64_t heads, int64_t width, const std::vector<int64_t>& order);

  Graph& graph_;
  std::map<std::string, torch::Tensor> weights_;
};

}  // namespace opencloc::onnx

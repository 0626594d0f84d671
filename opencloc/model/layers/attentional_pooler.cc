#include "opencloc/model/layers/attentional_pooler.h"

#include "opencloc/model/layers/initial.h"

namespace opencloc {

AttentionalPoolerImpl::AttentionalPoolerImpl(const ModelConfig& config)
    : heads_(config.vision.attn_pooler_heads) {
  const int64_t width = config.embed_dim, context = config.vision.width;
  query_ =
      register_parameter("query", initial::normal({config.vision.attn_pooler_queries, width}, 1));
  auto attn = register_module("attn", std::make_shared<torch::nn::Module>("attn"));
  const auto weight = [&](const char* name, int64_t rows, int64_t columns) {
    auto parameter = attn->register_parameter(name, torch::empty({rows, columns}));
    initial::fill_xavier(parameter);
    return parameter;
  };
  if (context == width) {
    q_weight_ = weight("in_proj_weight", 3 * width, width);  // all three
  } else {
    q_weight_ = weight("q_proj_weight", width, width);
    k_weight_ = weight("k_proj_weight", width, context);
    v_weight_ = weight("v_proj_weight", width, context);
  }
  in_proj_bias_ = attn->register_parameter("in_proj_bias", torch::zeros({3 * width}));
  out_proj_ = attn->register_module("out_proj", Linear(width, width));
  ln_q_ = register_module("ln_q", LayerNorm(width));
  ln_k_ = register_module("ln_k", LayerNorm(context));
}

torch::Tensor AttentionalPoolerImpl::forward(const torch::Tensor& tokens) {
  const int64_t batch = tokens.size(0), width = query_.size(1);
  const auto bias = in_proj_bias_.chunk(3);
  const bool stacked = !k_weight_.defined();
  const auto part = [&](int64_t i, const torch::Tensor& apart) {
    return stacked ? q_weight_.slice(0, i * width, (i + 1) * width) : apart;
  };
  const auto context = ln_k_(tokens);                                      // [B, T, D]
  const auto q = ops::linear(ln_q_(query_), part(0, q_weight_), bias[0]);  // [n, E]
  const auto k = ops::linear(context, part(1, k_weight_), bias[1]);        // [B, T, E]
  const auto v = ops::linear(context, part(2, v_weight_), bias[2]);        // [B, T, E]
  const auto queries = q.unsqueeze(0).expand({batch, q.size(0), width});   // [B, n, E]
  return out_proj_(ops::cross_attention(queries, k, v, heads_));           // [B, n, E]
}

}  // namespace opencloc
